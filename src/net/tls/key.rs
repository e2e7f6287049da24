//! Private keys in PEM, also encrypted ones (PKCS #8, RFC 5958, with PBES2 of RFC 8018,
//! which is what `openssl pkcs8 -topk8` and `openssl genpkey -aes256` write).

use std::path::Path;

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::pbkdf2;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::{TlsError, read_private};

/// More iterations take longer than anybody waits for a login.
const MOST: u32 = 10_000_000;

/// Reads a private key. `password`: the file of its password, which only an encrypted key
/// needs.
///
/// # Errors
/// [`TlsError`], also if everybody on the machine can read one of the files.
pub fn read(path: &Path, password: Option<&Path>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = Zeroizing::new(read_private(path)?);
    let none = || TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
    };
    let Some(sealed) = sealed(&text) else {
        let old = b"Proc-Type: 4,ENCRYPTED";
        if text.windows(old.len()).any(|w| w == old) {
            return Err(TlsError::KeyForm(path.to_owned()));
        }
        return PrivateKeyDer::from_pem_slice(&text).map_err(|_| none());
    };
    let Some(password) = password else {
        return Err(TlsError::KeyEncrypted(path.to_owned()));
    };
    let word = Zeroizing::new(read_private(password)?);
    let word = word.strip_suffix(b"\n").unwrap_or(&word);
    let word = word.strip_suffix(b"\r").unwrap_or(word);
    let wrong = || TlsError::KeyPassword {
        path: path.to_owned(),
        password: password.to_owned(),
    };
    let sealed = Sealed::read(&sealed).ok_or_else(|| TlsError::KeyForm(path.to_owned()))?;
    let key = sealed.open(word).ok_or_else(wrong)?;
    // A wrong password leaves well-formed padding once in 256 times.
    let key = PrivatePkcs8KeyDer::from(key.to_vec());
    match element(key.secret_pkcs8_der()) {
        Some((_, &[])) => Ok(PrivateKeyDer::Pkcs8(key)),
        _ => Err(wrong()),
    }
}

/// The encrypted key in a PEM file, if it has one.
fn sealed(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut sections = Pem::iter_from_buffer(text).flatten();
    let found = sections.find(|pem| pem.label == "ENCRYPTED PRIVATE KEY")?;
    Some(Zeroizing::new(found.contents))
}

/// An encrypted key, and how its key is derived from a password.
struct Sealed<'a> {
    prf: pbkdf2::Algorithm,
    salt: &'a [u8],
    iterations: std::num::NonZeroU32,
    cipher: &'static Algorithm,
    iv: [u8; 16],
    sealed: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// `None`: malformed, or another scheme than PBES2 with PBKDF2 and AES.
    fn read(der: &'a [u8]) -> Option<Self> {
        const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
        const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
        let (whole, _) = element(der)?;
        let [scheme, sealed] = children(whole.data)?;
        let [id, scheme] = children(scheme.data)?;
        let [derivation, encryption] = children(scheme.data)?;
        let [derivation_id, derivation] = children(derivation.data)?;
        let [cipher, iv] = children(encryption.data)?;
        if id.data != PBES2 || derivation_id.data != PBKDF2 {
            return None;
        }
        let (salt, rest) = element(derivation.data)?;
        let (iterations, mut rest) = element(rest)?;
        let mut prf = pbkdf2::PBKDF2_HMAC_SHA1; // where it is not said
        while let Some((next, after)) = element(rest) {
            // The length of the key may stand in front; it is that of the cipher.
            if next.tag().0 == 16 {
                prf = algorithm_of(element(next.data)?.0.data)?;
            }
            rest = after;
        }
        Some(Self {
            prf,
            salt: salt.data,
            iterations: number(iterations.data).filter(|n| n.get() <= MOST)?,
            cipher: cipher_of(cipher.data)?,
            iv: iv.data.try_into().ok()?,
            sealed: sealed.data,
        })
    }

    /// `None`: the password is wrong.
    fn open(&self, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let length = if std::ptr::eq(self.cipher, &AES_128) {
            16
        } else {
            32
        };
        let mut key = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(self.prf, self.iterations, self.salt, password, &mut key);
        let key = UnboundCipherKey::new(self.cipher, &key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut buffer = Zeroizing::new(self.sealed.to_vec());
        let context = DecryptionContext::Iv128(self.iv.into());
        let opened = key.decrypt(&mut buffer, context).ok()?.len();
        buffer.truncate(opened);
        Some(buffer)
    }
}

fn element(der: &[u8]) -> Option<(Any<'_>, &[u8])> {
    let (rest, element) = Any::from_der(der).ok()?;
    Some((element, rest))
}

/// Exactly two elements.
fn children(content: &[u8]) -> Option<[Any<'_>; 2]> {
    let (first, rest) = element(content)?;
    let (second, rest) = element(rest)?;
    rest.is_empty().then_some([first, second])
}

fn number(bytes: &[u8]) -> Option<std::num::NonZeroU32> {
    let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    if bytes.len() > 4 {
        return None;
    }
    let n = bytes.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b));
    std::num::NonZeroU32::new(n)
}

fn algorithm_of(id: &[u8]) -> Option<pbkdf2::Algorithm> {
    Some(match id.strip_prefix(b"\x2a\x86\x48\x86\xf7\x0d\x02")? {
        [7] => pbkdf2::PBKDF2_HMAC_SHA1,
        [9] => pbkdf2::PBKDF2_HMAC_SHA256,
        [10] => pbkdf2::PBKDF2_HMAC_SHA384,
        [11] => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return None,
    })
}

fn cipher_of(id: &[u8]) -> Option<&'static Algorithm> {
    match id.strip_prefix(b"\x60\x86\x48\x01\x65\x03\x04\x01")? {
        [0x02] => Some(&AES_128),
        [0x2a] => Some(&AES_256),
        _ => None,
    }
}
