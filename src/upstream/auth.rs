//! The authentication exchange, as strict as the configuration.
//!
//! A server that asks for less than SCRAM may be an impostor that wants the
//! password. A server that says AuthenticationOk before it has proved that it knows
//! the password may be an impostor that wants the queries. Both are refused.

use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::message::{backend, frontend};

use super::binding::end_point_hash;
use super::login::Login;
use super::scram::{ChannelBinding, ClientFirst, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};
use super::{ConnectError, LoginCache, Target, rds_iam};
use crate::secret::{Credential, UpstreamAuth};

/// Runs the exchange up to AuthenticationOk; returns the name of the mechanism that was used.
pub(super) async fn authenticate(
    login: &mut Login,
    target: &Target,
    credential: &Credential,
    cache: &LoginCache,
) -> Result<&'static str, ConnectError> {
    match login.receive().await? {
        backend::Message::AuthenticationSasl(body) => {
            let offered = body
                .mechanisms()
                .map(|m| Ok(m.to_owned()))
                .collect::<Vec<String>>()
                .map_err(|_| login.protocol("a malformed list of SASL mechanisms"))?;
            scram(login, &offered, target, credential, cache).await
        }
        backend::Message::AuthenticationMd5Password(body) if target.allow_md5 => {
            let hash = md5_hash(
                credential.username.as_bytes(),
                credential.password.reveal().as_bytes(),
                body.salt(),
            );
            password(login, hash.as_bytes(), "md5").await
        }
        backend::Message::AuthenticationMd5Password(_) => Err(refuse(
            login,
            "md5 authentication",
            "; use password_encryption = scram-sha-256 on the server, or set allow_md5 = true",
        )),
        backend::Message::AuthenticationCleartextPassword
            if target.auth == UpstreamAuth::RdsIam =>
        {
            by_token(login, target, &credential.username, cache).await
        }
        // Any other method would need a password, and there is none.
        _ if target.auth == UpstreamAuth::RdsIam => Err(refuse(
            login,
            "something other than the token of RDS IAM authentication",
            "; grant rds_iam to the role, and enable IAM authentication for the instance",
        )),
        backend::Message::AuthenticationCleartextPassword if target.allow_cleartext => {
            password(login, credential.password.reveal().as_bytes(), "cleartext").await
        }
        backend::Message::AuthenticationCleartextPassword => Err(refuse(
            login,
            "the password in clear",
            "; use scram-sha-256 in pg_hba.conf, or set allow_cleartext = true where the server is local or its name is verified by TLS",
        )),
        // pg_hba.conf says `trust` or `peer`: nothing was proved, and nothing
        // would tell when the password is wrong. Only a local server may.
        backend::Message::AuthenticationOk if target.allow_cleartext => Ok("trust"),
        // TLS has proved the server's name (verify-full), and the server asked for our
        // certificate.
        backend::Message::AuthenticationOk if target.by_certificate && target.verified => {
            Ok("certificate")
        }
        backend::Message::AuthenticationOk => Err(refuse(
            login,
            "no password at all",
            "; pgvalet cannot tell an impostor from a server that does not check: use scram-sha-256 in pg_hba.conf",
        )),
        _ => Err(refuse(
            login,
            "an authentication method that pgvalet does not speak",
            "",
        )),
    }
}

/// Breaks the login off: `what` was asked for, `remedy` says what to do.
fn refuse(login: &Login, what: &'static str, remedy: &'static str) -> ConnectError {
    ConnectError::Unsafe {
        address: login.address.clone(),
        what,
        remedy,
    }
}

/// Logs in with a token of RDS IAM authentication, which only the right server may see.
async fn by_token(
    login: &mut Login,
    target: &Target,
    username: &str,
    cache: &LoginCache,
) -> Result<&'static str, ConnectError> {
    if !target.verified {
        return Err(refuse(
            login,
            "a token of RDS without having shown who it is",
            "; set tls = \"verify-full\" and tls_ca to the certificates of RDS",
        ));
    }
    let token = rds_iam::token(target, username, cache).await;
    let token = token.map_err(|e| ConnectError::Iam {
        address: login.address.clone(),
        reason: e.to_string(),
    })?;
    password(login, token.as_bytes(), "rds-iam").await
}

async fn password(
    login: &mut Login,
    password: &[u8],
    mechanism: &'static str,
) -> Result<&'static str, ConnectError> {
    frontend::password_message(password, &mut login.output)
        .map_err(|_| login.protocol("a NUL in the password"))?;
    login.send().await?;
    expect_ok(login).await.map(|()| mechanism)
}

async fn expect_ok(login: &mut Login) -> Result<(), ConnectError> {
    match login.receive().await? {
        backend::Message::AuthenticationOk => Ok(()),
        _ => Err(login.protocol("AuthenticationOk expected")),
    }
}

async fn scram(
    login: &mut Login,
    offered: &[String],
    target: &Target,
    credential: &Credential,
    cache: &LoginCache,
) -> Result<&'static str, ConnectError> {
    let binding = choose_binding(login, offered, target)?;
    let (mechanism, name) = match binding {
        ChannelBinding::ServerEndPoint(_) => (SCRAM_SHA_256_PLUS, "scram-sha-256-plus"),
        ChannelBinding::None | ChannelBinding::NotOffered => (SCRAM_SHA_256, "scram-sha-256"),
    };

    let first = ClientFirst::new(binding).map_err(|e| scram_error(login, target, e))?;
    let encode = |result: io::Result<()>, login: &Login| {
        result.map_err(|_| login.protocol("a SASL message that cannot be encoded"))
    };
    let encoded = frontend::sasl_initial_response(mechanism, &first.message(), &mut login.output);
    encode(encoded, login)?;
    login.send().await?;

    let backend::Message::AuthenticationSaslContinue(body) = login.receive().await? else {
        // Above all: no AuthenticationOk here.
        return Err(login.protocol("AuthenticationSASLContinue expected"));
    };
    let (password, iterations) = (&credential.password, &target.scram_iterations);
    let answered = first.answer(body.data(), password, iterations, cache).await;
    let last = answered.map_err(|e| scram_error(login, target, e))?;
    let encoded = frontend::sasl_response(&last.message, &mut login.output);
    encode(encoded, login)?;
    login.send().await?;

    let backend::Message::AuthenticationSaslFinal(body) = login.receive().await? else {
        return Err(login.protocol("AuthenticationSASLFinal expected"));
    };
    last.verify(body.data())
        .map_err(|e| scram_error(login, target, e))?;
    expect_ok(login).await.map(|()| name)
}

/// How the login is bound to its TLS, and by that the mechanism.
fn choose_binding(
    login: &Login,
    offered: &[String],
    target: &Target,
) -> Result<ChannelBinding, ConnectError> {
    let offers = |name: &str| offered.iter().any(|o| o == name);
    if !offers(SCRAM_SHA_256) && !offers(SCRAM_SHA_256_PLUS) {
        return Err(refuse(
            login,
            "SASL mechanisms other than SCRAM-SHA-256",
            "",
        ));
    }
    let binding = match end_point_hash(&login.stream) {
        None => ChannelBinding::None,
        Some(_) if !offers(SCRAM_SHA_256_PLUS) => ChannelBinding::NotOffered,
        Some(hash) => return Ok(ChannelBinding::ServerEndPoint(hash)),
    };
    if !offers(SCRAM_SHA_256) {
        return Err(refuse(login, "channel binding without TLS", ""));
    }
    if target.require_channel_binding {
        return Err(refuse(
            login,
            "SCRAM without channel binding",
            "; somebody may be on the way, or the server has no TLS certificate with a hash: see channel_binding in [database.NAME]",
        ));
    }
    Ok(binding)
}

fn scram_error(login: &Login, target: &Target, error: ScramError) -> ConnectError {
    match error {
        ScramError::Signature => refuse(
            login,
            "trust without knowing the password (its SCRAM signature is wrong)",
            "; look for an impostor on the way",
        ),
        ScramError::TooFew(_) => refuse(
            login,
            "fewer SCRAM iterations than min_scram_iterations",
            "; set the role's password again with scram_iterations = 4096 or more, or lower min_scram_iterations",
        ),
        ScramError::Salt => refuse(login, "a SCRAM salt of unreasonable size", ""),
        ScramError::Nonce => login.protocol("a SCRAM nonce that is not ours"),
        ScramError::TooMany(asked) => ConnectError::Iterations {
            address: login.address.clone(),
            asked,
            allowed: *target.scram_iterations.end(),
        },
        ScramError::Malformed | ScramError::Refused => login.protocol("a malformed SCRAM message"),
        ScramError::Random => login.protocol("no random numbers"),
    }
}
