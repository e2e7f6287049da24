//! A stand-in for a collector of OpenTelemetry: it keeps what is posted, and answers as it is
//! told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What was posted.
#[derive(Debug, Clone)]
pub struct Posted {
    pub path: String,
    /// The lines of the head behind the first.
    pub head: String,
    pub body: Value,
}

#[derive(Default)]
struct State {
    posted: Mutex<Vec<Posted>>,
    /// The status of answers; 0: there are none.
    status: AtomicU16,
    is_gone: AtomicBool,
}

pub struct Collector {
    pub url: String,
    state: Arc<State>,
}

impl Collector {
    /// A collector that takes everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        state.status.store(200, Relaxed);
        let serves = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serves.is_gone.load(Relaxed) {
                    return;
                }
                let serves = serves.clone();
                std::thread::spawn(move || while take(&stream, &serves).is_some() {});
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            state,
        }
    }

    /// Answers with this status from now on, and not at all if it is 0.
    pub fn answers(&self, status: u16) {
        self.state.status.store(status, Relaxed);
    }

    /// What was posted to a path so far, whatever the answer was.
    pub fn posted(&self, path: &str) -> Vec<Posted> {
        let posted = self.state.posted.lock().expect("not poisoned");
        let here = posted.iter().filter(|posted| posted.path == path);
        here.cloned().collect()
    }

    /// Every body as it came, a line each.
    pub fn text(&self) -> String {
        let posted = self.state.posted.lock().expect("not poisoned");
        posted.iter().map(|p| p.body.to_string() + "\n").collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.state.is_gone.store(true, Relaxed);
    }
}

/// Reads one request and answers it.
fn take(stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let (mut path, mut head, mut length) = (None, String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        match path {
            None => path = Some(line.split(' ').nth(1)?.to_owned()),
            Some(_) => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    state.posted.lock().expect("not poisoned").push(Posted {
        path: path?,
        head,
        body: serde_json::from_slice(&body).expect("JSON"),
    });
    let status = state.status.load(Relaxed);
    if status == 0 {
        std::thread::park(); // the program that waits ends the test's wait
    }
    let mut stream = stream;
    let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(answer.as_bytes()).ok()
}
