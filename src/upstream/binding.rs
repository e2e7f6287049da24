//! Channel binding: `tls-server-end-point` (RFC 5929, section 4.1).

use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512, digest};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

use crate::net::Stream;

/// The hash of the server's certificate, by the hash of its signature. `None` without
/// TLS, and for signatures that have no hash of their own.
pub(super) fn end_point_hash(stream: &Stream) -> Option<Vec<u8>> {
    let Stream::ToServer(tls) = stream else {
        return None;
    };
    let certificate = tls.get_ref().1.peer_certificates()?.first()?;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = hash_of(&parsed.signature_algorithm)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash for a certificate with this signature: that of the signature, where MD5 and
/// SHA-1 are raised to SHA-256. Ed25519 has none, for which the RFC defines nothing:
/// OpenSSL names no hash, so that libpq and Postgres refuse such a binding.
fn hash_of(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(signature)
    {
        return match parameters.hash_algorithm_oid().to_id_string().as_str() {
            "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&SHA256),
            "2.16.840.1.101.3.4.2.2" => Some(&SHA384),
            "2.16.840.1.101.3.4.2.3" => Some(&SHA512),
            "2.16.840.1.101.3.4.2.4" => Some(&SHA224),
            _ => None,
        };
    }
    match signature.algorithm.to_id_string().as_str() {
        // sha256/sha1/md5WithRSAEncryption, ecdsa-with-SHA256, ecdsa-with-SHA1
        "1.2.840.113549.1.1.11"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.4"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.10045.4.1" => Some(&SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some(&SHA224),
        _ => None,
    }
}
