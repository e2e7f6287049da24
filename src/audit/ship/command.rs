//! A program that reads records from its standard input, a line each.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::target::{Message, Target, lines};

/// How long the program may take to read on.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pipe that has room takes so many bytes without blocking (POSIX, `PIPE_BUF`).
const CHUNK: usize = 4096;

pub struct Command {
    words: Vec<String>,
    running: Option<(Child, ChildStdin)>,
}

impl Command {
    pub fn of(words: &[String]) -> Self {
        Self {
            words: words.to_vec(),
            running: None,
        }
    }

    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its standard input; it is started if it does not run.
    fn input(&mut self) -> Result<&mut ChildStdin, String> {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if self.running.as_mut().is_some_and(|(child, _)| ended(child)) {
            self.running = None;
        }
        if self.running.is_none() {
            let (program, arguments) = self.words.split_first().ok_or("no command")?;
            let mut child = std::process::Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .map_err(|e| format!("{program} cannot be started: {e}"))?;
            let input = child.stdin.take().ok_or("it has no standard input")?;
            self.running = Some((child, input));
        }
        let (_, input) = self.running.as_mut().ok_or("it does not run")?;
        Ok(input)
    }

    fn stop(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Target for Command {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let bytes = lines(messages);
        let input = self.input()?;
        let sent = write(input, &bytes);
        if sent.is_err() {
            // It has read a part of the batch at most; the next one gets all of it.
            self.stop();
        }
        sent.map_err(|e| format!("{}: {e}", self.name()))
    }
}

fn write(input: &mut ChildStdin, bytes: &[u8]) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    for chunk in bytes.chunks(CHUNK) {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLOUT)], left);
        if ready.map_err(|e| e.to_string())? == 0 {
            return Err("it does not read".to_owned());
        }
        input.write_all(chunk).map_err(|e| e.to_string())?;
    }
    input.flush().map_err(|e| e.to_string())
}

impl Drop for Command {
    /// The end of its input tells the program that nothing more comes.
    fn drop(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            let until = Instant::now() + Duration::from_secs(2);
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() >= until {
                    let _ = child.kill();
                    let _ = child.wait();
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
