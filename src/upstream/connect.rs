//! From the places of a target to a server that has let us in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::login::Login;
use super::role;
use super::{ConnectError, LoginCache, Quiet, Server, Target, Wishes};
use crate::net::{Socket, Stream};
use crate::secret::Credential;
use crate::upstream::SessionAttrs;
use crate::wire::Version;

/// Logs in with a credential, at the first place that is what the target wants.
/// `limit` holds for each place.
///
/// # Errors
/// [`ConnectError`], none of which holds the password.
pub async fn connect(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &LoginCache,
    limit: Duration,
) -> Result<Server, ConnectError> {
    let wishes = Wishes::default();
    let connected = connect_with(target, credential, cache, limit, &wishes, &mut Vec::new()).await;
    connected.map(|(server, _)| server)
}

/// [`connect`] for a client that asks for more than a session. Logins that were given
/// up, and that the server may still count, go to `abandoned`.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &LoginCache,
    limit: Duration,
    wishes: &Wishes,
    abandoned: &mut Vec<Abandoned>,
) -> Result<(Server, Quiet), ConnectError> {
    let this = std::slice::from_ref(target);
    let places = if target.places.is_empty() {
        this
    } else {
        &target.places
    };
    let mut failure: Option<ConnectError> = None;
    for &wanted in role::passes(target.attrs) {
        for place in places {
            let mut attempt = Attempt {
                place,
                login: None,
                server: None,
            };
            let run = attempt.run(credential, cache, wishes, wanted);
            let error = match timeout(limit, run).await {
                Ok(Ok(server)) => return Ok((server, Quiet::after_login())),
                Ok(Err(error)) => error,
                Err(_) => ConnectError::Timeout {
                    address: place.to_string(),
                },
            };
            abandoned.extend(attempt.end(&error).await);
            if !error.is_of_the_place() {
                return Err(error);
            }
            // That one server is no standby matters less than that another is down.
            if !matches!(failure, Some(ref f) if !matches!(f, ConnectError::NotWanted { .. })) {
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::Unreachable {
        address: target.to_string(),
        reason: "there is no host".to_owned(),
    }))
}

/// A login at one place, and what there is of it when its time is up.
struct Attempt<'a> {
    place: &'a Arc<Target>,
    login: Option<Login>,
    server: Option<Server>,
}

impl Attempt<'_> {
    async fn run(
        &mut self,
        credential: &Credential,
        cache: &LoginCache,
        wishes: &Wishes,
        wanted: SessionAttrs,
    ) -> Result<Server, ConnectError> {
        let server = self.log_in(credential, cache, wishes).await?;
        let server = self.server.insert(server);
        if role::suits(server, wanted).await
            && let Some(server) = self.server.take()
        {
            return Ok(server);
        }
        Err(ConnectError::NotWanted {
            address: self.place.to_string(),
            wanted: wanted.as_str(),
        })
    }

    /// Logs in, in the newest version of the protocol or else in 3.0.
    async fn log_in(
        &mut self,
        credential: &Credential,
        cache: &LoginCache,
        wishes: &Wishes,
    ) -> Result<Server, ConnectError> {
        let place = self.place;
        let mut version = cache.old_servers.version_for(place);
        let mut refused = false;
        loop {
            let stream = reach(place, None).await?;
            let login = self.login.insert(Login::new(stream, place, version));
            let result = login.run(place, credential, cache, wishes).await;
            if refused && login.was_answered() {
                cache.old_servers.note(place);
            }
            match result {
                Err(error) if version > Version::V3_0 && login.version_is_refused(&error) => {
                    tracing::debug!("{error}; asking again in protocol 3.0");
                    login.until_gone().await;
                    self.login = None;
                    (version, refused) = (Version::V3_0, true);
                }
                Err(error) => return Err(error),
                Ok(welcome) => {
                    if let Some(login) = self.login.take() {
                        return Ok(login.into_server(place, welcome));
                    }
                }
            }
        }
    }

    /// Ends a failed attempt: what the server may still count of it.
    async fn end(self, error: &ConnectError) -> Option<Abandoned> {
        match (self.server, self.login) {
            (Some(server), _) if matches!(error, ConnectError::NotWanted { .. }) => {
                server.close().await;
                None
            }
            (Some(server), _) => Some(Abandoned(server.stream)),
            (None, Some(mut login)) => match error {
                ConnectError::Unreachable { .. } => None, // it is gone
                // Also after the password was right: 53300, 3D000, 55000.
                ConnectError::Refused { .. } if login.until_gone().await => None,
                _ => Some(Abandoned(login.stream)),
            },
            (None, None) => None,
        }
    }
}

/// A login that was given up while the server was still busy with it. Its backend
/// counts until the server has read that we are gone.
pub struct Abandoned(Stream);

impl Abandoned {
    /// More bytes than a server sends after a login.
    const MOST: usize = 1 << 20;

    /// Hangs up, and waits until the server has hung up too, but no longer than
    /// `limit`: a host that is gone will never do it.
    pub async fn gone(mut self, limit: Duration) {
        let gone = async {
            // From here on Postgres reads the end of the stream, when it reads.
            self.0.shutdown().await?;
            let (mut rest, mut read) = ([0; 1024], 0);
            loop {
                match self.0.read(&mut rest).await? {
                    0 => return std::io::Result::Ok(()),
                    n => read += n,
                }
                if read > Self::MOST {
                    return Ok(());
                }
            }
        };
        // An error means that the server is gone.
        let _ = timeout(limit, gone).await;
    }
}

/// Opens the socket and, where configured, TLS. `at`: the address, if it is not the
/// one that the host's name leads to now.
pub(super) async fn reach(target: &Target, at: Option<SocketAddr>) -> Result<Stream, ConnectError> {
    let address = target.to_string();
    let io = |e: std::io::Error| ConnectError::io(&address, &e);
    if let Some(path) = target.socket() {
        return Ok(Stream::Plain(Socket::Unix(
            UnixStream::connect(path).await.map_err(io)?,
        )));
    }
    let socket = match at {
        Some(at) => Socket::connect_tcp(at).await,
        None => Socket::connect_tcp((&*target.host, target.port)).await,
    };
    let mut socket = socket.map_err(io)?;
    let Some(config) = &target.tls else {
        return Ok(Stream::Plain(socket));
    };

    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(io)?;
    // Exactly one byte is read: anything a man in the middle stuffed behind it
    // becomes part of the TLS handshake and breaks it (CVE-2021-23222).
    let mut answer = [0; 1];
    socket.read_exact(&mut answer).await.map_err(io)?;
    if answer != *b"S" {
        let database = target.database.clone();
        return Err(ConnectError::NoTls { address, database });
    }
    let tls = |reason: String| ConnectError::Tls {
        address: address.clone(),
        reason,
    };
    let name = ServerName::try_from(target.host.to_string()).map_err(|e| tls(e.to_string()))?;
    let stream = TlsConnector::from(config.clone())
        .connect(name, socket)
        .await
        .map_err(|e| tls(e.to_string()))?;
    Ok(Stream::ToServer(Box::new(stream)))
}
