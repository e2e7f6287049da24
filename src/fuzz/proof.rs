//! What somebody presents to prove who it is.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;

use super::Input;
use crate::access::aws_iam::presigned::Presigned;
use crate::access::token::keys::KeySet;
use crate::access::token::verify::{LONGEST, peek, verify};
use crate::access::{Certificate, CertificateName, Sts, TokenIssuer, TokenKeys, aws_iam};
use crate::upstream::scram::{ServerFirst, server_signature};

/// The public keys of RFC 7515, A.2 and A.3, and of RFC 8037, A.2: their
/// examples are signed, and long expired.
const KEYS: &[u8] = br#"{"keys":[
    {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed"},
    {"kty":"RSA","e":"AQAB","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}
]}"#;

static ISSUER: LazyLock<(Arc<TokenIssuer>, KeySet)> = LazyLock::new(|| {
    let issuer = TokenIssuer {
        issuer: "joe".to_owned(),
        keys: TokenKeys::File(Default::default()),
        ca: None,
    };
    (Arc::new(issuer), KeySet::parse(KEYS).expect("keys"))
});

/// A JWT. Nobody has the keys any more that could make one which is valid.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(unverified) = peek(text) else { return };
    assert!(text.len() <= LONGEST);
    let (issuer, keys) = &*ISSUER;
    assert!(verify(text, &unverified, issuer, keys).is_err());
}

/// What an issuer, or STS, answers: not everybody can, but it is read all the
/// same.
pub fn answer(data: &[u8]) {
    if let Ok(keys) = KeySet::parse(data) {
        assert!(keys.with_id(None).next().is_some());
        for key in keys.with_id(None) {
            let names = key.algorithms.iter().map(|a| format!("{a:?}"));
            assert!(names.into_iter().all(|name| !name.starts_with("HS")));
            assert!(!key.algorithms.is_empty());
        }
    }
    let _ = aws_iam::read(data);
}

/// A request to STS that a client has signed: nobody else can be asked.
pub fn presigned(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let sts = Sts {
        audience: "pgvalet".to_owned(),
        endpoint: None,
    };
    let now: DateTime<Utc> = DateTime::from_timestamp(1_772_366_400, 0).expect("2026-03-01");
    let Ok(read) = Presigned::read(text, &sts, now) else {
        return;
    };
    let printed = read.uri.to_string();
    let host = printed.strip_prefix("https://sts.");
    let host = host
        .and_then(|rest| rest.split_once("/?"))
        .expect("of STS")
        .0;
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    assert!(host.bytes().all(letter), "{host}");
    assert!(host.ends_with("amazonaws.com") || host.ends_with(".amazonaws.com.cn"));
    assert!(printed.contains("Action=GetCallerIdentity"), "{printed}");
    let again = Presigned::read(&printed, &sts, now).expect("the same");
    assert_eq!((again.uri, again.expires), (read.uri, read.expires));
}

/// A chain of two certificates, or of one.
pub fn certificate(data: &[u8]) {
    let (own, issuer) = Input(data).halves();
    let chain = [own, issuer].map(|der| CertificateDer::from(der.to_vec()));
    for chain in [&chain[..], &chain[..1]] {
        let Some(certificate) = Certificate::read(chain) else {
            continue;
        };
        assert_eq!(certificate.chain.len(), chain.len());
        let names = certificate.names();
        // Whoever is taken for somebody has a name that is written like that.
        for name in [
            "spiffe://example.org/orders",
            "dns:api.example.org",
            "cn:orders",
        ] {
            let rule = CertificateName::parse(name).expect("a name");
            assert!(!certificate.is(&rule) || names.iter().any(|n| n == name));
        }
    }
}

/// What a server says in SCRAM, to a client whose nonce is `own`.
pub fn scram(data: &[u8]) {
    if let Ok(first) = ServerFirst::read(data, "own") {
        assert!(first.nonce.starts_with("own") && first.nonce.len() > "own".len());
        assert!(first.iterations > 0);
        let (salt, iterations) = (BASE64_STANDARD.encode(&first.salt), first.iterations);
        let printed = format!("r={},s={salt},i={iterations}", first.nonce);
        let again = ServerFirst::read(printed.as_bytes(), "own").expect("the same");
        assert_eq!((again.nonce, &again.salt), (first.nonce, &first.salt));
        assert_eq!(again.iterations, iterations);
    }
    if let Ok(signature) = server_signature(data) {
        let printed = format!("v={}", BASE64_STANDARD.encode(&signature));
        assert_eq!(server_signature(printed.as_bytes()), Ok(signature));
    }
}
