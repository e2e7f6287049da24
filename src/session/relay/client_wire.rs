//! The client's side of the relay: its connection, what waits there, and how much has passed.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use super::input::{Input, read};
use super::pending::Pending;
use crate::net::{Stream, hang_up};

/// The connection to the client. All bytes that are read from it are counted here, and so are
/// those that come from the server; what pgvalet itself tells the client is not counted.
pub(super) struct ClientWire {
    stream: Stream,
    output: Pending,
    input: Input,
    /// What `input` waits for.
    awaits: Awaits,
    /// Bytes read from the client.
    received: u64,
    /// Bytes sent to the client.
    sent: u64,
}

/// What the bytes wait for that were read from the client and not dealt with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// More bytes.
    #[default]
    Bytes,
    /// The server's answers to what was sent.
    Answers,
    /// Nothing: the bytes can be dealt with now.
    Nothing,
}

impl ClientWire {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            output: Pending::default(),
            input: Input::default(),
            awaits: Awaits::default(),
            received: 0,
            sent: 0,
        }
    }

    /// Goes on counting where another process has stopped.
    pub fn resume(&mut self, received: u64, sent: u64) {
        (self.received, self.sent) = (received, sent);
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that have passed in either direction.
    pub fn moved(&self) -> u64 {
        self.received + self.sent
    }

    /// Reads once; returns how many bytes came, 0 at the end.
    pub fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = ready!(read(cx, &mut self.stream, buffer))?;
        self.received += n as u64;
        Poll::Ready(Ok(n))
    }

    /// Begins with bytes that were read before there was a relay.
    pub fn begin_with(&mut self, early: Vec<u8>) {
        self.received += early.len() as u64;
        self.input.put_back(early, 0);
        self.look_again();
    }

    /// Whether something has been read and not dealt with.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// What has been read and not dealt with.
    pub fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// The bytes that wait, if they can be dealt with now.
    pub fn take_due(&mut self) -> Option<Vec<u8>> {
        if self.awaits != Awaits::Nothing {
            return None;
        }
        self.awaits = Awaits::Bytes;
        (!self.input.is_empty()).then(|| self.input.take())
    }

    /// Has the bytes that wait dealt with: nothing else will call for them.
    pub fn look_again(&mut self) {
        self.awaits = Awaits::Nothing;
    }

    /// Has the bytes that wait dealt with when the server has answered: they depend on that.
    pub fn wait_for_answers(&mut self) {
        self.awaits = Awaits::Answers;
    }

    pub fn awaits_answers(&self) -> bool {
        self.awaits == Awaits::Answers
    }

    /// Notes that the server has said something, which may be what the bytes wait for.
    pub fn server_has_answered(&mut self) {
        if self.awaits == Awaits::Answers {
            self.awaits = Awaits::Nothing;
        }
    }

    /// Whether nothing waits, neither from the client nor for it.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty() && self.output.is_empty() && self.awaits == Awaits::Bytes
    }

    /// The buffer for what pgvalet itself tells the client, which is not counted.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.output.buffer()
    }

    /// Counts bytes of the server that are about to be sent.
    pub fn count_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Appends a message of the server.
    pub fn pass_on(&mut self, message: &[u8]) {
        self.count_sent(message.len());
        self.output.buffer().extend_from_slice(message);
    }

    /// Sends `head` and then `run`, behind what already waits; they are counted already.
    pub fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, run: &[u8]) {
        self.output.send(cx, &mut self.stream, head, run);
    }

    /// Writes what waits. `true`: something was written, and it is to be called again.
    pub fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.output.write(cx, &mut self.stream)
    }

    /// Writes all that waits.
    pub fn write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.write(cx))? {}
        Poll::Ready(Ok(()))
    }

    /// Whether all that was to be sent has been written.
    pub fn is_written(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether more may be added to what waits to be written.
    pub fn has_room(&self) -> bool {
        self.output.has_room()
    }

    /// Drops what waits to be written: nobody reads it.
    pub fn clear_output(&mut self) {
        self.output.clear();
    }

    pub async fn hang_up(&mut self) {
        hang_up(&mut self.stream).await;
    }

    /// The client's socket for another process.
    ///
    /// # Errors
    /// It is no plain socket, or there is no descriptor left.
    pub fn share_socket(&self) -> io::Result<OwnedFd> {
        match &self.stream {
            Stream::Plain(socket) => socket.share(),
            Stream::FromClient(_) | Stream::ToServer(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::net::Socket;

    fn wire() -> (ClientWire, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (ClientWire::new(Stream::Plain(Socket::Unix(ours))), theirs)
    }

    #[tokio::test]
    async fn what_client_and_server_say_is_counted_and_what_pgvalet_says_is_not() {
        let (mut wire, mut client) = wire();
        wire.begin_with(b"early".to_vec());
        client.write_all(b"more").await.expect("written");
        let mut buffer = [0; 16];
        let n = poll_fn(|cx| wire.read(cx, &mut buffer)).await;
        assert_eq!(n.expect("read"), 4);
        wire.buffer().extend_from_slice(b"notice, ");
        wire.pass_on(b"answer");
        assert!(!wire.is_written());
        let written = poll_fn(|cx| wire.write_all(cx)).await;
        written.expect("written");
        assert!(wire.is_written());
        assert_eq!((wire.received(), wire.sent()), (9, 6));
        assert_eq!(wire.moved(), 15);
        drop(wire);
        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("read");
        assert_eq!(told, "notice, answer");
    }

    #[tokio::test]
    async fn bytes_wait_for_more_or_for_answers() {
        let (mut wire, _client) = wire();
        wire.begin_with(b"P".to_vec());
        assert_eq!(wire.take_due().as_deref(), Some(&b"P"[..]));
        wire.input().keep(b"P");
        assert!(wire.take_due().is_none(), "they wait for more bytes");
        wire.wait_for_answers();
        assert!(wire.take_due().is_none(), "they wait for answers");
        assert!(wire.awaits_answers() && !wire.is_idle());
        wire.server_has_answered();
        assert_eq!(wire.take_due().as_deref(), Some(&b"P"[..]));
        assert!(wire.is_idle());
    }
}
