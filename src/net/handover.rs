//! Messages between two processes over a unix socket that both have, some with descriptors
//! (SCM_RIGHTS).
//!
//! A message is its length in four bytes, the number of its descriptors in one, and JSON. The
//! descriptors travel with its first byte.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Length and number of descriptors.
const HEAD: usize = 5;

/// The longest message in bytes.
const LONGEST: usize = 64 << 20;

/// The most descriptors of a message; Linux allows 253.
const MOST: usize = 128;

/// The end that sends. Messages arrive in the order in which they were sent.
#[derive(Clone)]
pub struct Sender(mpsc::UnboundedSender<Item>);

/// The end that receives.
pub struct Receiver {
    stream: Arc<UnixStream>,
    input: Vec<u8>,
    /// Descriptors whose messages have not arrived completely.
    descriptors: VecDeque<OwnedFd>,
}

enum Item {
    Message(Vec<u8>, Vec<OwnedFd>),
    /// Tells when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Sends and receives over a connected socket. Called within a Tokio runtime.
///
/// # Errors
/// The socket cannot be used so.
pub fn open(stream: StdStream) -> io::Result<(Sender, Receiver)> {
    stream.set_nonblocking(true)?;
    let stream = Arc::new(UnixStream::from_std(stream)?);
    let (sender, items) = mpsc::unbounded_channel();
    tokio::spawn(write_all(stream.clone(), items));
    let receiver = Receiver {
        stream,
        input: Vec::new(),
        descriptors: VecDeque::new(),
    };
    Ok((Sender(sender), receiver))
}

/// Writes a message without descriptors, where there is no runtime.
///
/// # Errors
/// That of the socket.
pub fn write_now(mut stream: &StdStream, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encoded(message, 0)?)
}

fn encoded(message: &impl Serialize, descriptors: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - HEAD).map_err(io::Error::other)?;
    let descriptors = u8::try_from(descriptors).map_err(io::Error::other)?;
    if length as usize > LONGEST || usize::from(descriptors) > MOST {
        return Err(io::Error::other("the message is too long"));
    }
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4] = descriptors;
    Ok(bytes)
}

impl Sender {
    /// Sends a message with descriptors, without waiting. Where the other process has ended it
    /// is lost; the [`Receiver`] says so.
    ///
    /// # Errors
    /// It cannot be a message: it is too long, or has too many descriptors.
    pub fn send(&self, message: &impl Serialize, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let bytes = encoded(message, descriptors.len())?;
        let _ = self.0.send(Item::Message(bytes, descriptors));
        Ok(())
    }

    /// Waits until everything is written; `false`: the other process has ended.
    pub async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        self.0.send(Item::Flush(done)).is_ok() && written.await.is_ok()
    }
}

/// Ends when the last sender is gone, or the other process.
async fn write_all(stream: Arc<UnixStream>, mut items: mpsc::UnboundedReceiver<Item>) {
    while let Some(item) = items.recv().await {
        let written = match item {
            Item::Message(bytes, descriptors) => write(&stream, &bytes, &descriptors).await,
            Item::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if written.is_err() {
            break;
        }
    }
    let _ = SockRef::from(&*stream).shutdown(std::net::Shutdown::Write);
}

async fn write(stream: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let mut left = bytes;
    let mut with: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    while !left.is_empty() {
        stream.writable().await?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !with.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&with));
            }
            let sent = sendmsg(
                stream,
                &[IoSlice::new(left)],
                &mut control,
                SendFlags::NOSIGNAL,
            );
            Ok(sent?)
        });
        match sent {
            Ok(n) => {
                left = &left[n..];
                with.clear();
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Receiver {
    /// The next message and its descriptors; `None`: the other process has closed its end, or
    /// has ended. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What arrived is no such message, or is cut off.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.fill().await {
                Ok(0) if self.input.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                // It ended with something unread.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some((head, rest)) = self.input.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [a, b, c, d, descriptors] = *head;
        let (length, descriptors) = (
            u32::from_be_bytes([a, b, c, d]) as usize,
            usize::from(descriptors),
        );
        if length > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        if descriptors > self.descriptors.len() {
            return Err(io::Error::other("descriptors of a message are missing"));
        }
        let message = serde_json::from_slice(body)?;
        let descriptors = self.descriptors.drain(..descriptors).collect();
        self.input.drain(..HEAD + length);
        if self.input.is_empty() {
            self.input = Vec::new(); // a long one leaves no memory behind
        }
        Ok(Some((message, descriptors)))
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 * 1024];
        loop {
            self.stream.readable().await?;
            let (stream, descriptors) = (&*self.stream, &mut self.descriptors);
            let read = stream.try_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let iov = &mut [IoSliceMut::new(&mut bytes)];
                let read = recvmsg(stream, iov, &mut control, FLAGS)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(arrived) = message {
                        descriptors.extend(arrived);
                    }
                }
                Ok(read.bytes)
            });
            match read {
                Ok(n) => {
                    self.input.extend_from_slice(&bytes[..n]);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A program that is started meanwhile gets none of the descriptors.
#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();

#[cfg(test)]
mod tests;
