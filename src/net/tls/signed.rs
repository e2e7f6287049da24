//! Signatures over certificates and revocation lists, and those of a handshake with a
//! certificate of version 1, which the library does not read.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use x509_parser::asn1_rs::{Any, FromDer};

/// What is signed, with which algorithm, and the signature: the form of certificates and
/// of revocation lists.
struct Signed<'a> {
    message: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let inside = element(der)?.0.data;
        let (_, rest) = element(inside)?;
        let message = &inside[..inside.len() - rest.len()];
        let (algorithm, rest) = element(rest)?;
        Some(Self {
            message,
            algorithm: algorithm.data,
            signature: bits(element(rest)?.0.data)?,
        })
    }
}

/// The first element, and what follows it.
fn element(der: &[u8]) -> Option<(Any<'_>, &[u8])> {
    let (rest, element) = Any::from_der(der).ok()?;
    Some((element, rest))
}

/// The content of a BIT STRING of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}

/// Algorithm and key of a SubjectPublicKeyInfo.
fn key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = element(spki)?.0.data;
    let (algorithm, rest) = element(inside)?;
    Some((algorithm.data, bits(element(rest)?.0.data)?))
}

/// Whether the owner of a key has signed a certificate or a revocation list.
pub(super) fn is_signed_by(
    der: &[u8],
    spki: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let (Some(signed), Some((kind, key))) = (Signed::read(der), key(spki)) else {
        return false;
    };
    let fits = |a: &&&dyn SignatureVerificationAlgorithm| {
        *a.signature_alg_id() == *signed.algorithm && *a.public_key_alg_id() == *kind
    };
    algorithms.all.iter().filter(fits).any(|a| {
        a.verify_signature(key, signed.message, signed.signature)
            .is_ok()
    })
}

/// Checks the signature of a handshake in TLS 1.3 by the key alone.
///
/// # Errors
/// It is wrong.
pub(super) fn handshake13(
    message: &[u8],
    spki: &[u8],
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms)
}

/// Checks the signature of a handshake in TLS 1.2 by the key alone.
///
/// # Errors
/// It is wrong.
pub(super) fn handshake12(
    message: &[u8],
    spki: &[u8],
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (kind, key) = key(spki).ok_or(CertificateError::BadEncoding)?;
    let scheme = algorithms.mapping.iter().find(|(s, _)| *s == dss.scheme);
    let (_, candidates) = scheme.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let valid = candidates
        .iter()
        .filter(|a| *a.public_key_alg_id() == *kind)
        .any(|a| a.verify_signature(key, message, dss.signature()).is_ok());
    match valid {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}
