//! Standard output as the place of a log. It may be a pipe whose reader has stopped: a write to
//! that must not take for ever.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sink::Start;

/// A pipe that has room takes so many bytes without blocking (POSIX, `PIPE_BUF`).
const CHUNK: usize = 4096;

/// How long the reader may take to make room.
const PATIENCE: Duration = Duration::from_secs(4);

/// The same while it is known not to read: whoever waits for its record is refused soon.
const IMPATIENCE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Stdout {
    pub(super) start: Start,
    /// How many bytes of the last write have gone out.
    pub(super) written: u64,
    stuck: bool,
}

impl Stdout {
    /// Writes all of `bytes`, or as many as the reader takes in time.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let out = io::stdout();
        self.written = 0;
        let patience = if self.stuck { IMPATIENCE } else { PATIENCE };
        let until = Instant::now() + patience;
        let mut rest = bytes;
        while !rest.is_empty() {
            if !has_room(out.as_fd(), until)? {
                self.stuck = true;
                let error = "its reader does not read";
                return Err(io::Error::new(ErrorKind::TimedOut, error));
            }
            match nix::unistd::write(&out, &rest[..rest.len().min(CHUNK)]) {
                Ok(n) => {
                    self.written += n as u64;
                    rest = &rest[n..];
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.stuck = false;
        self.start = Start::default();
        Ok(())
    }
}

fn has_room(out: std::os::fd::BorrowedFd<'_>, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(out, PollFlags::POLLOUT)], left) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
