//! One login, from the start-up packet to the first ReadyForQuery.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::auth::authenticate;
use super::{Backend, BackendPid, ConnectError, LoginCache, Reported, Server, Target, Wishes};
use crate::net::Stream;
use crate::secret::Credential;
use crate::wire::message::{self, ErrorFields};
use crate::wire::tag::backend as tag;
use crate::wire::{Frame, Version, login};

/// The largest message of a login; a server that announces more is refused before anything is read
/// into memory.
const MAX_LOGIN_MESSAGE: usize = 1 << 16;

/// How long a server that refused a login may take to close the connection.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection whose login is under way.
pub(super) struct Login {
    pub stream: Stream,
    input: BytesMut,
    pub output: BytesMut,
    pub address: String,
    /// The version of the protocol that is asked for, and then the one in use.
    version: Version,
    /// The server has asked for authentication, or let us in.
    answered: bool,
    /// The server has closed the connection.
    hung_up: bool,
}

/// What the server has said in a login that worked.
pub(super) struct Welcome {
    mechanism: &'static str,
    reported: Reported,
    pid: BackendPid,
    /// The cancel key; empty where the server gave none.
    key: Box<[u8]>,
}

impl Login {
    pub fn new(stream: Stream, target: &Target, version: Version) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            address: target.to_string(),
            version,
            answered: false,
            hung_up: false,
        }
    }

    /// Sends the start-up packet, and waits until the server has answered it.
    pub async fn begin(
        &mut self,
        target: &Target,
        credential: &Credential,
        wishes: &Wishes,
    ) -> Result<(), ConnectError> {
        let message = login::StartupMessage {
            version: self.version,
            user: &credential.username,
            database: &target.dbname,
            replication: wishes.replication,
            settings: &wishes.settings,
        };
        let mut packet = Vec::with_capacity(128);
        message
            .write(&mut packet)
            .map_err(|_| self.protocol("a NUL in a start-up parameter"))?;
        self.output.extend_from_slice(&packet);
        self.send().await?;
        self.next().await?;
        self.answered = true;
        Ok(())
    }

    /// Authenticates, at a server that has answered.
    pub async fn run(
        &mut self,
        target: &Target,
        credential: &Credential,
        cache: &LoginCache,
    ) -> Result<Welcome, ConnectError> {
        let mechanism = authenticate(self, target, credential, cache).await?;
        self.finish(mechanism).await
    }

    /// Whether the server refused the version of the protocol: by an error of that
    /// kind in place of the first answer, or by hanging up without a word, as some
    /// programs between here and Postgres do.
    pub fn version_is_refused(&self, error: &ConnectError) -> bool {
        if self.answered {
            return false;
        }
        match error {
            ConnectError::Refused {
                sqlstate, message, ..
            } => {
                matches!(sqlstate.as_str(), "" | "0A000" | "08P01")
                    || message.to_ascii_lowercase().contains("protocol")
            }
            _ => self.hung_up && self.input.is_empty(),
        }
    }

    /// Whether the server has asked for authentication, or let us in.
    pub fn was_answered(&self) -> bool {
        self.answered
    }

    /// Waits until a server that refused the login has closed the connection: until
    /// then its backend counts. `false`: it did not do so in time.
    pub async fn until_gone(&mut self) -> bool {
        let gone = async {
            let mut rest = [0; 256];
            while self.stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        };
        timeout(GOODBYE, gone).await.is_ok()
    }

    pub fn protocol(&self, what: &'static str) -> ConnectError {
        ConnectError::Protocol {
            address: self.address.clone(),
            what,
        }
    }

    fn io(&mut self, error: &io::Error) -> ConnectError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        // Any other error says why, as an alert of TLS does.
        self.hung_up |= matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        );
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

    /// Waits for the next message of the authentication.
    pub async fn receive(&mut self) -> Result<backend::Message, ConnectError> {
        self.next().await?;
        backend::Message::parse(&mut self.input)
            .ok()
            .flatten()
            .ok_or_else(|| self.protocol("a message that cannot be read"))
    }

    /// Waits for the next message that matters, which then lies at the beginning of
    /// `input`. Notices are passed over, and an ErrorResponse is the end.
    async fn next(&mut self) -> Result<Frame, ConnectError> {
        loop {
            if let Some(frame) = self.frame()? {
                match frame.tag {
                    tag::ERROR_RESPONSE => {
                        let fields = ErrorFields::read(&self.input[..frame.len]);
                        return Err(ConnectError::Refused {
                            address: self.address.clone(),
                            sqlstate: fields.sqlstate,
                            message: fields.message,
                        });
                    }
                    tag::NEGOTIATE_PROTOCOL_VERSION => self.negotiate(frame.len)?,
                    tag::NOTICE_RESPONSE => {}
                    _ => return Ok(frame),
                }
                self.input.advance(frame.len);
                continue;
            }
            let n = self
                .stream
                .read_buf(&mut self.input)
                .await
                .map_err(|e| self.io(&e))?;
            if n == 0 {
                self.hung_up = true;
                return Err(ConnectError::Unreachable {
                    address: self.address.clone(),
                    reason: "the server closed the connection".to_owned(),
                });
            }
        }
    }

    /// Takes in a NegotiateProtocolVersion, which names the newest version that the
    /// server speaks.
    fn negotiate(&mut self, length: usize) -> Result<(), ConnectError> {
        let Some((version, options)) = login::read_negotiation(&self.input[..length]) else {
            return Err(self.protocol("a malformed answer to the protocol version"));
        };
        // No option was asked for, so the server cannot refuse one.
        if self.answered || version > self.version || version < Version::V3_0 || options > 0 {
            return Err(self.protocol("an answer to another protocol version"));
        }
        self.version = version.spoken();
        Ok(())
    }

    /// The header of the next message, if that is complete.
    fn frame(&self) -> Result<Option<Frame>, ConnectError> {
        match Frame::read(&self.input) {
            Ok(Some(frame)) if frame.len > MAX_LOGIN_MESSAGE => {
                Err(self.protocol("a message too large for a login"))
            }
            Ok(frame) => Ok(frame.filter(|f| f.len <= self.input.len())),
            Err(_) => Err(self.protocol("a message of impossible length")),
        }
    }

    /// Collects parameters and the key, after AuthenticationOk.
    async fn finish(&mut self, mechanism: &'static str) -> Result<Welcome, ConnectError> {
        let mut welcome = Welcome {
            mechanism,
            reported: Reported::default(),
            pid: BackendPid(0),
            key: Box::default(),
        };
        loop {
            let frame = self.next().await?;
            let message = &self.input[..frame.len];
            match frame.tag {
                tag::PARAMETER_STATUS => {
                    if let Some((name, value)) = message::read_parameter_status(message) {
                        welcome.reported.set(name, value);
                    }
                }
                tag::BACKEND_KEY_DATA => match login::read_backend_key_data(message) {
                    // As in libpq: in 3.0, a key of another length means that the frames
                    // were lost.
                    Some((pid, key)) if key.len() == 4 || self.version >= Version::V3_2 => {
                        welcome.pid = BackendPid(pid.cast_signed());
                        welcome.key = key.into();
                    }
                    _ => return Err(self.protocol("a cancel key of impossible length")),
                },
                tag::READY_FOR_QUERY => break,
                _ => return Err(self.protocol("an unexpected message after the login")),
            }
            self.input.advance(frame.len);
        }
        let ready = self.next().await?.len;
        self.input.advance(ready);
        if !self.input.is_empty() {
            return Err(self.protocol("bytes after ReadyForQuery"));
        }
        Ok(welcome)
    }

    pub fn into_server(self, target: &Arc<Target>, welcome: Welcome) -> Server {
        let address = self.stream.peer_address();
        let backend = Backend::new(welcome.pid, welcome.key, target.clone(), address);
        Server {
            stream: self.stream,
            backend: Arc::new(backend),
            was_standby: super::server::standby(&welcome.reported),
            reported: welcome.reported,
            heard: Vec::new(),
            opened_at: Instant::now(),
            mechanism: welcome.mechanism,
        }
    }
}

#[cfg(test)]
mod tests;
