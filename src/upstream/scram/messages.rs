//! What a server says, which may be hostile: nothing is computed here.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::ScramError;

const MAX_SALT: usize = 1024;
const MAX_SERVER_NONCE: usize = 1024;

/// The server's first message.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerFirst<'a> {
    pub text: &'a str,
    /// The nonce, which begins with the client's.
    pub nonce: &'a str,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl<'a> ServerFirst<'a> {
    /// Reads the message, and refuses parameters that a careful server would not
    /// send.
    ///
    /// # Errors
    /// [`ScramError`].
    pub fn read(bytes: &'a [u8], own_nonce: &str) -> Result<Self, ScramError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed)?;
        let mut parts = text.split(',');
        let mut field = |prefix| {
            parts
                .next()
                .and_then(|p| p.strip_prefix(prefix))
                .ok_or(ScramError::Malformed)
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(own_nonce)
            || nonce.len() == own_nonce.len()
            || nonce.len() > MAX_SERVER_NONCE
        {
            return Err(ScramError::Nonce);
        }
        let salt = field("s=")?;
        if salt.len() > MAX_SALT {
            return Err(ScramError::Salt);
        }
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| ScramError::Salt)?;
        let iterations: u32 = field("i=")?.parse().map_err(|_| ScramError::Malformed)?;
        if iterations == 0 {
            return Err(ScramError::Malformed);
        }
        Ok(Self {
            text,
            nonce,
            salt,
            iterations,
        })
    }
}

/// The signature in the server's last message.
///
/// # Errors
/// [`ScramError`]; `Refused` where the server says that the exchange failed.
pub fn server_signature(server_final: &[u8]) -> Result<Vec<u8>, ScramError> {
    let text = std::str::from_utf8(server_final).map_err(|_| ScramError::Malformed)?;
    if text.starts_with("e=") {
        return Err(ScramError::Refused);
    }
    let signature = text.split(',').next().and_then(|p| p.strip_prefix("v="));
    BASE64_STANDARD
        .decode(signature.ok_or(ScramError::Malformed)?)
        .map_err(|_| ScramError::Malformed)
}
