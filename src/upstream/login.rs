//! One login, from the start-up packet to the first ReadyForQuery.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::auth::authenticate;
use super::{Backend, BackendPid, ConnectError, KeyCache, Reported, Server, Target};
use crate::net::Stream;
use crate::secret::Credential;
use crate::wire::message::{self, ErrorFields};
use crate::wire::startup::Replication;
use crate::wire::tag::backend as tag;
use crate::wire::{Frame, SettingName, Version, login};

/// No message of a login is larger; a server that announces more is refused
/// before anything is read into memory.
const MAX_LOGIN_MESSAGE: usize = 1 << 16;

/// A server that refused a login closes the connection at once.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a login asks for beyond what target and credential say. Nothing of it can be
/// another user or database.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub replication: Option<Replication>,
    settings: Vec<(SettingName, Box<str>)>,
}

impl Default for Wishes {
    /// What every connection of a pool begins with.
    fn default() -> Self {
        Self::new(None, Vec::new())
    }
}

impl Wishes {
    /// Without an application_name among the settings it is ours.
    pub fn new(
        replication: Option<Replication>,
        mut settings: Vec<(SettingName, Box<str>)>,
    ) -> Self {
        const NAME: &str = "application_name";
        if !settings.iter().any(|(name, _)| name.as_str() == NAME)
            && let Ok(name) = SettingName::new(NAME)
        {
            settings.push((name, "pgvalet".into()));
        }
        Self {
            replication,
            settings,
        }
    }
}

/// A connection whose login is under way.
pub(super) struct Login {
    pub stream: Stream,
    input: BytesMut,
    pub output: BytesMut,
    pub address: String,
    /// What is asked for, and then what is spoken.
    version: Version,
    /// The server has asked for authentication, or let us in.
    answered: bool,
    /// It has closed the connection.
    hung_up: bool,
}

/// What a login has come to know.
pub(super) struct Welcome {
    mechanism: &'static str,
    reported: Reported,
    pid: BackendPid,
    /// Empty where the server gave none.
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

    pub async fn run(
        &mut self,
        target: &Target,
        credential: &Credential,
        cache: &KeyCache,
        wishes: &Wishes,
    ) -> Result<Welcome, ConnectError> {
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
        let mechanism = authenticate(self, target, credential, cache).await?;
        self.finish(mechanism).await
    }

    /// Whether it was the version that was refused: by an error of that kind in
    /// place of the first answer, or by hanging up without a word, as some
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

    pub fn was_answered(&self) -> bool {
        self.answered
    }

    /// A server that refused a login closes the connection; until then its
    /// backend still counts, so its place is not free yet. `false`: it has not,
    /// and is waited for no longer.
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
        // Anything else says why, as an alert of TLS does.
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

    /// The next message of the authentication.
    pub async fn receive(&mut self) -> Result<backend::Message, ConnectError> {
        self.next().await?;
        self.answered = true;
        backend::Message::parse(&mut self.input)
            .ok()
            .flatten()
            .ok_or_else(|| self.protocol("a message that cannot be read"))
    }

    /// The next message that matters, which lies at the beginning of `input`;
    /// notices are passed over, and an ErrorResponse is the end.
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

    /// NegotiateProtocolVersion: the server speaks no newer version than it
    /// says.
    fn negotiate(&mut self, length: usize) -> Result<(), ConnectError> {
        let Some((version, options)) = login::read_negotiation(&self.input[..length]) else {
            return Err(self.protocol("a malformed answer to the protocol version"));
        };
        if self.answered || version > self.version || version < Version::V3_0 || options > 0
        // none was asked for
        {
            return Err(self.protocol("an answer to another protocol version"));
        }
        self.version = version.spoken();
        Ok(())
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
                    // As libpq has it: a longer one is a lost frame there.
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
mod tests {
    use super::*;
    use crate::upstream::connect;
    use crate::upstream::tests::{credential, target};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use tokio::net::TcpListener;

    /// A login at a server that says this, whatever it is asked.
    async fn login_at(said: Vec<u8>) -> Result<Server, ConnectError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = target(listener.local_addr().unwrap().port());
        target.allow_cleartext = true;
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(&said).await;
                let _ = socket.shutdown().await;
                let mut rest = [0; 256];
                while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            }
        });
        let (credential, cache) = (credential(), KeyCache::default());
        connect(
            &Arc::new(target),
            &credential,
            &cache,
            Duration::from_secs(5),
        )
        .await
    }

    fn negotiation(version: Version, options: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        login::negotiate_protocol_version(&mut out, version, options);
        out
    }

    fn welcome(key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        message::authentication_ok(&mut out);
        login::backend_key_data(&mut out, 7, key);
        message::ready_for_query(&mut out, b'I');
        out
    }

    #[tokio::test]
    async fn a_key_is_kept_as_it_is() {
        for key in [&[1; 4][..], &[2; 32], &[3; 256]] {
            let server = login_at(welcome(key)).await.expect("in");
            assert_eq!(server.backend.pid, BackendPid(7));
            assert_eq!(&*server.backend.key, key);
        }
        let old = [negotiation(Version::V3_0, &[]), welcome(&[1; 4])].concat();
        let server = login_at(old).await.expect("in");
        assert_eq!(server.backend.key.len(), 4);
        let mut none = Vec::new();
        message::authentication_ok(&mut none);
        message::ready_for_query(&mut none, b'I');
        let server = login_at(none).await.expect("in");
        assert!(server.backend.key.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        let option = ["_pq_.x".to_owned()];
        let late = {
            let mut out = Vec::new();
            message::authentication_ok(&mut out);
            [out, negotiation(Version::V3_0, &[])].concat()
        };
        for (what, said) in [
            ("short", welcome(&[1; 3])),
            ("long", welcome(&[1; 257])),
            (
                "too long for 3.0",
                [negotiation(Version::V3_0, &[]), welcome(&[1; 32])].concat(),
            ),
            ("newer", negotiation(Version(0x0003_0003), &[])),
            ("much newer", negotiation(Version(0x0004_0000), &[])),
            ("much older", negotiation(Version(0x0002_0000), &[])),
            ("an option", negotiation(Version::V3_0, &option)),
            ("late", late),
            ("cut", b"v\0\0\0\x08\0\x03\0\0".to_vec()),
        ] {
            match login_at(said).await {
                Err(ConnectError::Protocol { .. }) => {}
                Err(other) => panic!("{what}: {other}"),
                Ok(_) => panic!("{what}: trusted"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn whatever_a_server_says_ends_the_login(
            messages in vec((select(b"RKvSZNE".to_vec()), vec(any::<u8>(), 0..40)), 0..6),
        ) {
            let mut said = Vec::new();
            for (tag, body) in messages {
                message::message(&mut said, tag, |out| out.extend(body));
            }
            // Nothing more comes, so that nobody waits for it.
            message::error_response(&mut said, "FATAL", "53300", "no", None);
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            let end = runtime.block_on(login_at(said));
            let late = matches!(end, Err(ConnectError::Timeout { .. }));
            prop_assert!(!late);
        }
    }
}
