//! A client that sends what no driver would, reads message by message, and
//! says what went wrong instead of failing: a test has many cases, and the
//! report names all that fail.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::raw::{self, Message, message};

/// The limit for an answer, far above what one takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The parameters that the greeting told: ParameterStatus.
    pub told: Vec<(String, String)>,
}

impl Peer {
    pub async fn open(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|e| format!("no connection: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            told: Vec::new(),
        })
    }

    /// Logs in, and reads up to the first ReadyForQuery.
    pub async fn login(port: u16, parameters: &[(&str, &str)]) -> Result<Self, String> {
        let mut peer = Self::open(port).await?;
        peer.send(&raw::start_up(0x0003_0000, parameters)).await?;
        let greeting = peer.ready().await?;
        if let Some(error) = greeting.error() {
            return Err(format!("not let in: {error}"));
        }
        peer.told = greeting.reported();
        Ok(peer)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(format!("cannot send: {e}")),
            Err(_) => Err("what was sent is not read".to_owned()),
        }
    }

    pub async fn next(&mut self) -> Result<Message, String> {
        self.next_within(PATIENCE).await
    }

    pub async fn next_within(&mut self, patience: Duration) -> Result<Message, String> {
        loop {
            if let Some(message) = raw::take(&mut self.buffer) {
                return Ok(message);
            }
            match timeout(patience, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(format!("nothing more within {patience:?}")),
                Ok(Ok(0)) => return Err("the connection was closed".to_owned()),
                Ok(Err(e)) => return Err(format!("the connection was lost: {e}")),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Everything up to the next ReadyForQuery.
    pub async fn ready(&mut self) -> Result<Answer, String> {
        let mut answer = Answer::default();
        loop {
            let next = self.next().await;
            let next = next.map_err(|e| format!("{e}, after {answer}"))?;
            let ready = next.0 == b'Z';
            answer.0.push(next);
            if ready {
                return Ok(answer);
            }
        }
    }

    /// Sends a batch that ends with Sync, or a query; the answer.
    pub async fn ask(&mut self, bytes: &[u8]) -> Result<Answer, String> {
        self.send(bytes).await?;
        self.ready().await
    }

    /// The last value that a query answers, or its error.
    pub async fn said(&mut self, sql: &str) -> String {
        match self.ask(&raw::query(sql)).await {
            Ok(answer) => answer.said(),
            Err(fault) => fault,
        }
    }

    /// Asks by Parse without a name; the last value, or the error.
    pub async fn said_unnamed(&mut self, sql: &str) -> String {
        let batch = [raw::parse("", sql), raw::run(""), raw::sync()].concat();
        match self.ask(&batch).await {
            Ok(answer) => answer.said(),
            Err(fault) => fault,
        }
    }

    /// A query that has to succeed.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        let answer = self.ask(&raw::query(sql)).await?;
        match answer.error() {
            None => Ok(()),
            Some(error) => Err(format!("{sql}: {error}")),
        }
    }

    /// Says goodbye, and waits until the connection is closed.
    pub async fn leave(mut self) {
        let _ = self.send(&terminate()).await;
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
    }

    /// Sends no more, and goes on reading.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> (Answer, String) {
        let mut answer = Answer::default();
        loop {
            match self.next().await {
                Ok(next) => answer.0.push(next),
                Err(fault) => return (answer, fault),
            }
        }
    }
}

#[derive(Default, Clone)]
pub struct Answer(pub Vec<Message>);

impl Answer {
    pub fn tags(&self) -> String {
        raw::tags(&self.0)
    }

    pub fn sqlstate(&self) -> Option<String> {
        raw::sqlstate(&self.0)
    }

    /// The first error: SQLSTATE and text.
    pub fn error(&self) -> Option<String> {
        let (_, body) = self.0.iter().find(|(tag, _)| *tag == b'E')?;
        Some(error(body))
    }

    pub fn rows(&self) -> Vec<String> {
        let rows = self.0.iter().filter(|(tag, _)| *tag == b'D');
        rows.map(|(_, body)| row(body)).collect()
    }

    /// The last row, or the first error.
    pub fn said(&self) -> String {
        let last = self.rows().pop();
        let error = self.error().map(|e| format!("ERROR {e}"));
        error.or(last).unwrap_or_default()
    }

    /// ParameterStatus.
    pub fn reported(&self) -> Vec<(String, String)> {
        let reported = self.0.iter().filter(|(tag, _)| *tag == b'S');
        let text = |t: Option<&[u8]>| String::from_utf8_lossy(t.unwrap_or_default()).into_owned();
        reported
            .map(|(_, body)| {
                let mut parts = body.split(|b| *b == 0);
                (text(parts.next()), text(parts.next()))
            })
            .collect()
    }

    /// The OIDs of the first ParameterDescription.
    pub fn parameter_types(&self) -> Vec<u32> {
        let found = self.0.iter().find(|(tag, _)| *tag == b't');
        let body = found.map_or(&[][..], |(_, body)| body.get(2..).unwrap_or_default());
        let oids = body.chunks_exact(4);
        oids.map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
            .collect()
    }
}

fn error(body: &[u8]) -> String {
    let field = |kind: u8| {
        let mut fields = body.split(|b| *b == 0);
        let field = fields.find(|f| f.first() == Some(&kind));
        String::from_utf8_lossy(field.map_or(&[], |f| &f[1..])).into_owned()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}

/// The values of a row, as text, with commas.
fn row(body: &[u8]) -> String {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut values = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            values.push("NULL".to_owned());
            rest = after;
            continue;
        };
        let value = after.get(..length).unwrap_or(after);
        values.push(String::from_utf8_lossy(value).into_owned());
        rest = after.get(length..).unwrap_or_default();
    }
    values.join(",")
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut last, mut times) = (String::new(), 0);
        let mut write = |word: &str, times: usize| match times {
            0 => Ok(()),
            1 => write!(f, "{word} "),
            _ => write!(f, "{word}*{times} "),
        };
        for (tag, body) in &self.0 {
            let text = String::from_utf8_lossy(body).replace('\0', " ");
            let word = match tag {
                b'D' => format!("D({})", row(body)),
                b'E' => format!("E({})", error(body)),
                b'C' | b'S' | b'Z' => format!("{}({})", char::from(*tag), text.trim_end()),
                _ => char::from(*tag).to_string(),
            };
            if word == last {
                times += 1;
                continue;
            }
            write(&last, times)?;
            (last, times) = (word, 1);
        }
        write(&last, times)
    }
}

pub fn terminate() -> Vec<u8> {
    message(b'X', b"")
}

pub fn flush() -> Vec<u8> {
    message(b'H', b"")
}

/// CopyData.
pub fn data(text: &str) -> Vec<u8> {
    message(b'd', text.as_bytes())
}

pub fn copy_done() -> Vec<u8> {
    message(b'c', b"")
}

pub fn copy_fail() -> Vec<u8> {
    message(b'f', b"given up\0")
}

/// Describe a statement.
pub fn describe(name: &str) -> Vec<u8> {
    message(b'D', format!("S{name}\0").as_bytes())
}

/// Bind, with parameters as text, and Execute.
pub fn run_with(name: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = format!("\0{name}\0").into_bytes();
    body.extend([0, 0]);
    body.extend((parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        body.extend((parameter.len() as u32).to_be_bytes());
        body.extend(parameter.as_bytes());
    }
    body.extend([0, 0]);
    [message(b'B', &body), message(b'E', b"\0\0\0\0\0")].concat()
}

/// FunctionCall with text.
pub fn call(oid: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend((arguments.len() as u16).to_be_bytes());
    for argument in arguments {
        body.extend((argument.len() as u32).to_be_bytes());
        body.extend(argument.as_bytes());
    }
    body.extend([0, 0]);
    message(b'F', &body)
}
