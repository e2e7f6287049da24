//! A client that expects anything, and tells what came.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::raw::{self, Message, sqlstate, take};

/// The longest that a client may wait for an answer, or for the error in its place.
const LIMIT: Duration = Duration::from_secs(20);

/// How an exchange ended.
#[derive(Debug)]
pub enum End {
    /// With ReadyForQuery, or with the message that was waited for.
    Answered(Vec<Message>),
    /// With an error, after which the session goes on.
    Refused(String),
    /// With an error, and the end of the session.
    Fatal(String),
    /// With the end of the session, and not a word.
    HungUp,
}

impl End {
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Answered(_))
    }

    /// The SQLSTATE of an error.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(code) | Self::Fatal(code) => Some(code),
            _ => None,
        }
    }
}

pub struct Talk {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Talk {
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Self {
            stream: stream.expect("connected"),
            heard: Vec::new(),
        }
    }

    /// A session that has been greeted.
    pub async fn begin(port: u16) -> Self {
        let mut talk = Self::open(port).await;
        let greeting = talk.log_in().await;
        assert!(greeting.is_answer(), "a greeting, not {greeting:?}");
        talk
    }

    pub async fn log_in(&mut self) -> End {
        let who = [("user", "anyone"), ("database", "app")];
        self.say(&raw::start_up(0x0003_0000, &who)).await;
        self.hear(b'Z').await
    }

    /// Sends; that nobody is there any more shows in what is heard.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn ask(&mut self, bytes: &[u8]) -> End {
        self.say(bytes).await;
        self.hear(b'Z').await
    }

    pub async fn query(&mut self, sql: &str) -> End {
        self.ask(&raw::query(sql)).await
    }

    /// Reads up to a message with this tag, or to the end that comes instead.
    pub async fn hear(&mut self, tag: u8) -> End {
        let hear = timeout(LIMIT, self.hear_on(tag)).await;
        hear.unwrap_or_else(|_| panic!("neither an answer nor an error within {LIMIT:?}"))
    }

    /// What has come of a message whose rest has not.
    pub fn rest(&self) -> &[u8] {
        &self.heard
    }

    async fn hear_on(&mut self, tag: u8) -> End {
        let mut messages = Vec::new();
        loop {
            while let Some(message) = take(&mut self.heard) {
                let last = message.0;
                messages.push(message);
                if last == tag {
                    return match sqlstate(&messages) {
                        Some(code) => End::Refused(code),
                        None => End::Answered(messages),
                    };
                }
            }
            match self.stream.read_buf(&mut self.heard).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    return match sqlstate(&messages) {
                        Some(code) => End::Fatal(code),
                        None => End::HungUp,
                    };
                }
            }
        }
    }
}
