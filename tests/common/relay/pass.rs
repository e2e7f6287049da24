//! One connection through the relay, in both directions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::frames::{self, Frames};
use super::{Fault, Pace, Shared, Way};

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Speaks,
    Silent,
    /// It is over; the sockets have been told how.
    Over,
}

pub struct Connection {
    client: TcpStream,
    server: TcpStream,
    mood: watch::Sender<Mood>,
    frames: Arc<frames::Shared>,
}

/// Has the socket send a reset when it is closed.
pub fn reset(stream: &TcpStream) {
    // A socket that has failed already needs none.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn end_of(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

impl Connection {
    pub fn new(client: TcpStream, server: TcpStream, framed: bool) -> Self {
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        Self {
            client,
            server,
            mood: watch::Sender::new(Mood::Speaks),
            frames: match framed {
                true => Arc::default(),
                false => frames::Shared::opaque(),
            },
        }
    }

    pub async fn run(&self, shared: &Shared) {
        let both = async {
            let _ = tokio::join!(
                self.pass(shared, Way::ToServer),
                self.pass(shared, Way::ToClient)
            );
        };
        let mut mood = self.mood.subscribe();
        tokio::select! {
            () = both => {}
            _ = mood.wait_for(|mood| *mood == Mood::Over) => {}
        }
        // What still comes is read, or the kernel would send a reset.
        if SockRef::from(&self.client)
            .linger()
            .ok()
            .flatten()
            .is_none()
        {
            let rest = async { tokio::join!(discard(&self.client), discard(&self.server)) };
            let _ = timeout(Duration::from_millis(200), rest).await;
        }
    }

    /// `way`: the direction in which the fault strikes, where that matters.
    pub fn suffer(&self, fault: Fault, way: Way) {
        match fault {
            Fault::Reset => {
                reset(&self.client);
                reset(&self.server);
                self.mood.send_replace(Mood::Over);
            }
            Fault::Close | Fault::Truncate => {
                end_of(&self.client);
                end_of(&self.server);
                self.mood.send_replace(Mood::Over);
            }
            Fault::HalfClose => end_of(self.ends(way).1),
            Fault::Silence => {
                self.mood.send_replace(Mood::Silent);
            }
        }
    }

    pub fn is_over(&self) -> bool {
        *self.mood.borrow() == Mood::Over
    }

    pub fn speak_again(&self) {
        self.mood.send_if_modified(|mood| {
            let silent = *mood == Mood::Silent;
            if silent {
                *mood = Mood::Speaks;
            }
            silent
        });
    }

    /// From where to where a direction leads.
    fn ends(&self, way: Way) -> (&TcpStream, &TcpStream) {
        match way {
            Way::ToServer => (&self.client, &self.server),
            Way::ToClient => (&self.server, &self.client),
        }
    }

    async fn may_speak(&self) -> bool {
        let mut mood = self.mood.subscribe();
        let mood = mood.wait_for(|mood| *mood != Mood::Silent).await;
        mood.is_ok_and(|mood| *mood == Mood::Speaks)
    }

    async fn pass(&self, shared: &Shared, way: Way) -> io::Result<()> {
        let (from, to) = self.ends(way);
        let mut frames = Frames::new(way, self.frames.clone());
        let (mut arrived, mut passed) = (Vec::new(), 0);
        loop {
            // A network that is silent takes nothing either, beyond what its buffers hold.
            if !self.may_speak().await {
                return Ok(());
            }
            let read = read(from, &mut arrived).await;
            if !self.may_speak().await {
                return Ok(());
            }
            match read {
                Ok(0) => {
                    write(to, &arrived).await?;
                    end_of(to);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    self.suffer(Fault::Reset, way);
                    return Err(error);
                }
            }
            while let Some(piece) = frames.next(&mut arrived) {
                let fault = shared.strikes(way, &piece, passed);
                let n = fault.map_or(piece.bytes.len(), |(_, before)| before);
                passed += n as u64;
                if let Err(error) = self.write(shared, way, &piece.bytes[..n]).await {
                    self.suffer(Fault::Reset, way);
                    return Err(error);
                }
                match fault {
                    None => {}
                    Some((Fault::HalfClose, _)) => {
                        self.suffer(Fault::HalfClose, way);
                        discard(from).await;
                        return Ok(());
                    }
                    Some((fault, _)) => {
                        self.suffer(fault, way);
                        if !self.may_speak().await {
                            return Ok(());
                        }
                        // The silence is over.
                        self.write(shared, way, &piece.bytes[n..]).await?;
                        passed += (piece.bytes.len() - n) as u64;
                    }
                }
            }
        }
    }

    async fn write(&self, shared: &Shared, way: Way, bytes: &[u8]) -> io::Result<()> {
        let (_, to) = self.ends(way);
        match shared.pace(way) {
            Pace::Free => write(to, bytes).await,
            Pace::SingleBytes => {
                for byte in bytes {
                    write(to, &[*byte]).await?;
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Pace::Late(delay) => {
                sleep(delay).await;
                write(to, bytes).await
            }
            Pace::Rate(bytes_per_second) => {
                for part in bytes.chunks(1024) {
                    let micros = part.len() as u64 * 1_000_000 / bytes_per_second;
                    sleep(Duration::from_micros(micros)).await;
                    write(to, part).await?;
                }
                Ok(())
            }
        }
    }
}

async fn read(stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => bytes = &bytes[result?..],
        }
    }
    Ok(())
}

async fn discard(stream: &TcpStream) {
    let mut buffer = Vec::new();
    while let Ok(1..) = read(stream, &mut buffer).await {
        buffer.clear();
    }
}
