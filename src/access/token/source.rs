//! An issuer of tokens as the configuration names it, and where its keys are.

use std::path::PathBuf;

use hyper::Uri;

use crate::net::is_loopback;

/// An issuer of tokens, and where its public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Exactly as in the token's `iss`.
    pub issuer: String,
    pub keys: TokenKeys,
    /// The CA of the address that keys are fetched from, instead of those that the
    /// system trusts.
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKeys {
    File(PathBuf),
    Url(Uri),
    /// The issuer's `.well-known/openid-configuration` says where.
    Discovery(Uri),
}

/// Reads an address that keys may be fetched from: https, or http on this machine.
///
/// # Errors
/// A sentence for whoever wrote the address.
pub fn web_address(text: &str) -> Result<Uri, String> {
    let wrong =
        || format!("{text:?} is no web address; write it like \"https://issuer.example/keys\"");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(format!(
            "{text:?}: anybody on the network in between could answer with other keys; use https"
        )),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for text in [
            "https://issuer.example/keys",
            "http://127.0.0.1:8080/keys",
            "http://[::1]/k",
        ] {
            assert!(web_address(text).is_ok(), "{text}");
        }
        for text in [
            "http://issuer.example/keys",
            "ftp://x/",
            "keys.json",
            "",
            "https://",
        ] {
            assert!(web_address(text).is_err(), "{text}");
        }
    }
}
