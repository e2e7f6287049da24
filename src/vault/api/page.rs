//! NextToken: where the next page begins. Clients pass it back unread.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vault::VaultError;

/// `about` is a digest of the question: a token continues the question it was given
/// for, and no other.
#[derive(Serialize, Deserialize)]
struct Token<C> {
    about: String,
    cursor: C,
}

fn digest_of(question: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, question.as_bytes()).as_ref()[..12])
}

pub fn encode<C: Serialize>(question: &str, cursor: &C) -> Result<String, VaultError> {
    let token = Token {
        about: digest_of(question),
        cursor,
    };
    serde_json::to_vec(&token)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(|e| VaultError::Internal(format!("a NextToken cannot be written: {e}")))
}

pub fn decode<C: DeserializeOwned>(question: &str, token: &str) -> Result<C, VaultError> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|json| serde_json::from_slice::<Token<C>>(&json).ok())
        .filter(|token| token.about == digest_of(question))
        .map(|token| token.cursor)
        .ok_or_else(|| VaultError::InvalidNextToken("The NextToken value is invalid.".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_only_its_own_question() {
        let token = encode("ListSecrets name=a", &7).unwrap();
        assert_eq!(decode::<i64>("ListSecrets name=a", &token), Ok(7));
        assert!(decode::<i64>("ListSecrets name=b", &token).is_err());
        for bad in ["", "x", "%%%", &token[1..], &format!("{token}A")] {
            assert!(decode::<i64>("ListSecrets name=a", bad).is_err(), "{bad}");
        }
    }
}
