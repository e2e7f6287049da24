//! From an address to the first ReadyForQuery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::{backend, frontend};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::auth::authenticate;
use super::role;
use super::{Backend, BackendPid, ConnectError, KeyCache, Server, Target};
use crate::net::{Socket, Stream};
use crate::secret::Credential;
use crate::wire::Frame;
use crate::wire::message::ErrorFields;

/// No message of a login is larger; a server that announces more is refused
/// before anything is read into memory.
const MAX_LOGIN_MESSAGE: usize = 1 << 16;

/// Logs in with a credential, at the first place that is what the target wants.
/// `limit` holds for each place.
///
/// # Errors
/// [`ConnectError`], none of which holds the password.
pub async fn connect(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &KeyCache,
    limit: Duration,
) -> Result<Server, ConnectError> {
    connect_with(target, credential, cache, limit, &[]).await
}

/// The same, with more start-up parameters; `user` and `database` are not
/// among them.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &KeyCache,
    limit: Duration,
    parameters: &[(String, String)],
) -> Result<Server, ConnectError> {
    let this = std::slice::from_ref(target);
    let places = if target.places.is_empty() {
        this
    } else {
        &target.places
    };
    let mut failure: Option<ConnectError> = None;
    for &wanted in role::passes(target.attrs) {
        for place in places {
            let attempt = async {
                let mut server = login(place, credential, cache, parameters).await?;
                if role::suits(&mut server, wanted).await {
                    return Ok(server);
                }
                server.close().await;
                Err(ConnectError::NotWanted {
                    address: place.to_string(),
                    wanted: target.attrs.as_str(),
                })
            };
            let error = match timeout(limit, attempt).await {
                Ok(Ok(server)) => return Ok(server),
                Ok(Err(error)) => error,
                Err(_) => ConnectError::Timeout {
                    address: place.to_string(),
                },
            };
            if !error.is_of_the_place() {
                return Err(error);
            }
            // That one is no standby says less than that another is down.
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

async fn login(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &KeyCache,
    parameters: &[(String, String)],
) -> Result<Server, ConnectError> {
    let address = target.to_string();
    let stream = reach(target).await?;
    let mut login = Login {
        stream,
        input: BytesMut::new(),
        output: BytesMut::new(),
        address,
    };
    match login
        .authenticate(target, credential, cache, parameters)
        .await
    {
        Ok(mechanism) => match login.finish().await {
            Ok((reported, key)) => Ok(login.into_server(target, mechanism, reported, key)),
            Err(error) => {
                // Refused after the password was right: 53300, 3D000, 55000.
                if matches!(error, ConnectError::Refused { .. }) {
                    login.until_gone().await;
                }
                Err(error)
            }
        },
        Err(error) => {
            if matches!(error, ConnectError::Refused { .. }) {
                login.until_gone().await;
            }
            Err(error)
        }
    }
}

/// Opens the socket and, where configured, TLS.
pub(super) async fn reach(target: &Target) -> Result<Stream, ConnectError> {
    let address = target.to_string();
    let io = |e: std::io::Error| ConnectError::io(&address, &e);
    if let Some(path) = target.socket() {
        return Ok(Stream::Plain(Socket::Unix(
            UnixStream::connect(path).await.map_err(io)?,
        )));
    }
    let mut socket = Socket::connect_tcp(&target.host, target.port)
        .await
        .map_err(io)?;
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
        return Err(ConnectError::NoTls { address });
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

/// The values of ParameterStatus.
pub type Reported = BTreeMap<Box<str>, Box<str>>;

/// A connection whose login is under way.
pub(super) struct Login {
    pub stream: Stream,
    input: BytesMut,
    pub output: BytesMut,
    pub address: String,
}

impl Login {
    async fn authenticate(
        &mut self,
        target: &Arc<Target>,
        credential: &Credential,
        cache: &KeyCache,
        parameters: &[(String, String)],
    ) -> Result<&'static str, ConnectError> {
        let own = [
            ("user", credential.username.as_str()),
            ("database", &target.dbname),
            ("application_name", "pgvalet"),
        ];
        // Of two values Postgres takes the later one.
        let more = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        frontend::startup_message(own.into_iter().chain(more), &mut self.output)
            .map_err(|_| self.protocol("a NUL in a start-up parameter"))?;
        self.send().await?;
        authenticate(self, target, credential, cache).await
    }

    /// A server that refused a login closes the connection; until then its
    /// backend still counts, so its place is not free yet.
    async fn until_gone(&mut self) {
        let gone = async {
            let mut rest = [0; 256];
            while self.stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        };
        let _ = timeout(Duration::from_secs(1), gone).await;
    }

    pub fn protocol(&self, what: &'static str) -> ConnectError {
        ConnectError::Protocol {
            address: self.address.clone(),
            what,
        }
    }

    fn io(&self, error: &std::io::Error) -> ConnectError {
        ConnectError::io(&self.address, error)
    }

    pub async fn send(&mut self) -> Result<(), ConnectError> {
        let result = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        result.await.map_err(|e| self.io(&e))?;
        self.output.clear();
        Ok(())
    }

    /// The next message that matters; notices are passed over, and an
    /// ErrorResponse is the end.
    pub async fn receive(&mut self) -> Result<backend::Message, ConnectError> {
        loop {
            if let Some(frame) = self.frame()? {
                match frame.tag {
                    b'E' => {
                        let fields = ErrorFields::read(&self.input[..frame.len]);
                        return Err(ConnectError::Refused {
                            address: self.address.clone(),
                            sqlstate: fields.sqlstate,
                            message: fields.message,
                        });
                    }
                    b'N' => self.input.advance(frame.len),
                    _ => {
                        return backend::Message::parse(&mut self.input)
                            .ok()
                            .flatten()
                            .ok_or_else(|| self.protocol("a message that cannot be read"));
                    }
                }
                continue;
            }
            let n = self
                .stream
                .read_buf(&mut self.input)
                .await
                .map_err(|e| self.io(&e))?;
            if n == 0 {
                return Err(ConnectError::Unreachable {
                    address: self.address.clone(),
                    reason: "the server closed the connection".to_owned(),
                });
            }
        }
    }

    /// A header whose message is complete.
    fn frame(&self) -> Result<Option<Frame>, ConnectError> {
        match Frame::read(&self.input) {
            Ok(Some(frame)) if frame.len > MAX_LOGIN_MESSAGE => {
                Err(self.protocol("a message too large for a login"))
            }
            Ok(frame) => Ok(frame.filter(|f| f.len <= self.input.len())),
            Err(_) => Err(self.protocol("a message of impossible length")),
        }
    }

    /// AuthenticationOk is behind: collects parameters and the key.
    async fn finish(&mut self) -> Result<(Reported, Option<(i32, i32)>), ConnectError> {
        let mut reported = BTreeMap::new();
        let mut key = None;
        loop {
            match self.receive().await? {
                backend::Message::ParameterStatus(body) => {
                    if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                        reported.insert(name.into(), value.into());
                    }
                }
                backend::Message::BackendKeyData(body) => {
                    key = Some((body.process_id(), body.secret_key()));
                }
                backend::Message::ReadyForQuery(_) => break,
                _ => return Err(self.protocol("an unexpected message after the login")),
            }
        }
        if !self.input.is_empty() {
            return Err(self.protocol("bytes after ReadyForQuery"));
        }
        Ok((reported, key))
    }

    fn into_server(
        self,
        target: &Arc<Target>,
        mechanism: &'static str,
        reported: Reported,
        key: Option<(i32, i32)>,
    ) -> Server {
        // A server without cancel keys cannot be cancelled; that is all.
        let (pid, key) = key.unwrap_or((0, 0));
        Server {
            stream: self.stream,
            backend: Arc::new(Backend::new(BackendPid(pid), key, target.clone())),
            was_standby: super::server::standby(&reported),
            reported,
            heard: Vec::new(),
            opened_at: Instant::now(),
            mechanism,
        }
    }
}
