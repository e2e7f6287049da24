//! Asking a client for its token, as a password or by SASL (OAUTHBEARER).

use std::io;

use chrono::Utc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::limiter::Ticket;
use super::origin::Origin;
use crate::access::token::{LONGEST, Rejected};
use crate::access::{Denial, Evidence, Policy, Request, TokenMethod};
use crate::net::{Peer, Stream};
use crate::session::context::Context;
use crate::wire::frame::{HEADER, cstr};
use crate::wire::message;
use crate::wire::startup::Startup;
use crate::wire::tag::frontend as tag;

/// Bytes that may stand around a token: a header, a NUL, the words of SASL.
const AROUND: usize = 1024;

const MECHANISM: &[u8] = b"OAUTHBEARER";
/// The separator of RFC 7628.
const KVSEP: u8 = 1;

/// The client is not there any more to be let in or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The client left when it was asked, as programs do that hold no token.
    Left,
    /// The client did not answer in time.
    Late,
}

impl Gone {
    pub fn denial(self) -> Denial {
        match self {
            Self::Left => Denial::Token(Rejected::Missing),
            Self::Late => Denial::HandshakeTimeout,
        }
    }
}

/// Asks for a token where the rules want one, and adds what its issuer vouches for to the
/// evidence. Returns why the token counts for nothing, if it was rejected.
///
/// # Errors
/// [`Gone`].
pub(super) async fn gather(
    context: &Context,
    stream: &mut Stream,
    policy: &Policy,
    evidence: &mut Evidence,
    startup: &Startup,
    ticket: &Ticket,
) -> Result<Option<Rejected>, Gone> {
    let request = Request {
        evidence,
        database: &startup.database,
        user: &startup.user,
        now: Utc::now(),
    };
    let Some(wanted) = policy.asks_for(&request) else {
        return Ok(None);
    };
    // A token is as good as a password to anybody who can read it on the way.
    let private = matches!(evidence.peer, Peer::Unix { .. }) || evidence.is_over_loopback();
    if !private && stream.tls_version().is_none() {
        return Ok(None);
    }
    let limit = context.reception.load().handshake_timeout;
    ticket.mark_asked();
    let token = match timeout(limit, ask(stream, wanted.method)).await {
        Err(_) => return Err(Gone::Late),
        Ok(Ok(token)) => token,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Some(Rejected::Malformed));
        }
        Ok(Err(_)) => return Err(Gone::Left),
    };
    ticket.mark_heard(Origin::of(evidence));
    let examined = match token.as_str() {
        "" => Err(Rejected::Missing),
        token => policy.examine(token, evidence).await,
    };
    let Err(why) = examined else {
        return Ok(None);
    };
    if let (TokenMethod::OauthBearer, Some(issuer)) = (wanted.method, wanted.issuer) {
        // A client that does not listen is refused nevertheless.
        let _ = timeout(limit, explain(stream, issuer)).await;
    }
    Ok(Some(why))
}

/// Asks for a token, and returns it; empty if the client has none.
///
/// # Errors
/// The client left; `InvalidData` if it answered with something else.
async fn ask(stream: &mut Stream, method: TokenMethod) -> io::Result<Zeroizing<String>> {
    let mut out = Vec::new();
    match method {
        TokenMethod::Password => message::authentication_cleartext_password(&mut out),
        TokenMethod::OauthBearer => message::authentication_sasl(&mut out, &[MECHANISM]),
    }
    stream.write_all(&out).await?;
    stream.flush().await?;
    let body = answer(stream).await?;
    let token = match method {
        TokenMethod::Password => cstr(&body),
        TokenMethod::OauthBearer => initial_response(&body),
    };
    let token = token.ok_or_else(malformed)?;
    // What is not UTF-8 is no token: it counts as the empty one, which nobody vouches for.
    Ok(Zeroizing::new(
        std::str::from_utf8(token).unwrap_or_default().to_owned(),
    ))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no answer to a token request")
}

/// Reads a message of type `p` (PasswordMessage, SASLInitialResponse, SASLResponse), which
/// may be as large as a token can be; returns its body.
async fn answer(stream: &mut Stream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let [tag, a, b, c, d] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if tag != tag::PASSWORD || !(4..=LONGEST + AROUND).contains(&length) {
        return Err(malformed());
    }
    let mut body = Zeroizing::new(vec![0; length - 4]);
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Finds the token in a SASLInitialResponse. After the mechanism and a length come, as in RFC
/// 7628 section 3.1, `n,,` (or with an authzid, which is ignored) and key-value pairs between
/// separators; one of them is `auth=Bearer TOKEN`. A client that asks where to get a token
/// sends `auth=`.
pub(crate) fn initial_response(body: &[u8]) -> Option<&[u8]> {
    let mechanism = cstr(body)?;
    let rest = body.get(mechanism.len() + 1..)?;
    let (length, data) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if mechanism != MECHANISM || length != data.len() {
        return None;
    }
    let mut parts = data.split(|&b| b == KVSEP);
    let gs2 = parts.next()?;
    if !(gs2.starts_with(b"n,") || gs2.starts_with(b"y,")) {
        return None; // a channel binding, which this mechanism does not have
    }
    let auth = parts.find_map(|pair| pair.strip_prefix(b"auth="))?;
    if auth.is_empty() {
        return Some(auth);
    }
    let (scheme, token) = auth.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Tells an OAUTHBEARER client in JSON what was wrong, and waits for its answer: the client
/// has to answer before it may be told that it failed (RFC 7628 sections 3.2.2 and 3.2.3).
async fn explain(stream: &mut Stream, issuer: &str) -> io::Result<()> {
    let base = issuer.trim_end_matches('/');
    let status = serde_json::json!({
        "status": "invalid_token",
        "openid-configuration": format!("{base}/.well-known/openid-configuration"),
        "scope": "openid",
    });
    let mut out = Vec::new();
    message::authentication_sasl_continue(&mut out, status.to_string().as_bytes());
    stream.write_all(&out).await?;
    stream.flush().await?;
    answer(stream).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(data: &[u8]) -> Vec<u8> {
        let mut body = b"OAUTHBEARER\0".to_vec();
        body.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        body.extend(data);
        body
    }

    #[test]
    fn a_bearer_token_is_found() {
        for (data, token) in [
            (
                b"n,,\x01auth=Bearer abc.def.ghi\x01\x01".as_slice(),
                b"abc.def.ghi".as_slice(),
            ),
            (
                b"n,a=user,\x01host=h\x01port=1\x01auth=bearer t\x01\x01",
                b"t",
            ),
            (b"y,,\x01auth=\x01\x01", b""),
        ] {
            assert_eq!(initial_response(&response(data)), Some(token), "{data:?}");
        }
        for data in [
            b"".as_slice(),
            b"n,,",
            b"n,,\x01auth=Basic abc\x01\x01",
            b"p=tls-unique,,\x01auth=Bearer t\x01\x01",
            b"n,,\x01user=x\x01\x01",
        ] {
            assert_eq!(initial_response(&response(data)), None, "{data:?}");
        }
        assert_eq!(initial_response(b"SCRAM-SHA-256\0\0\0\0\0"), None);
        let mut long = response(b"n,,\x01auth=Bearer t\x01\x01");
        long.push(b'x');
        assert_eq!(initial_response(&long), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8..=255, 0..60)) {
            let _ = initial_response(&body);
            let _ = initial_response(&response(&body));
        }
    }
}
