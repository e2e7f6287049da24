//! What pgvalet itself is good for, with a Postgres that answers at once:
//! `make scaling`.
//!
//! The stub, the clients and pgvalet share the machine, so that with two cores
//! pgvalet never has both for itself, and a ratio of TPS would say how the
//! kernel divides them. What a core more costs shows in the CPU time of a
//! transaction: locks that are waited for, caches that are fought over and
//! wake-ups across cores all make it longer. TPS that one and two worker threads
//! are good for is a second of CPU time of each, divided by that time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const CLIENTS: usize = 32;
const POOL: usize = 20;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// How far TPS have to grow with a second thread, to be called linear.
const WANTED: f64 = 0.85;

fn main() {
    let stub = stub();
    let [one, two] = [1, 2].map(|threads| Proxy::start(threads, stub));
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever comes first finds colder caches: they take turns.
        let (first, second) = (one.measure(), two.measure());
        if round > 0 {
            of_one.push(first);
            of_two.push(second);
        }
    }
    let [one, two] = [of_one, of_two].map(median);
    println!("threads  transactions/s here  CPU us each  transactions/s of so many cores");
    println!(
        "      1  {:>19.0}  {:>11.2}  {:>30.0}",
        one.tps,
        one.cpu,
        1e6 / one.cpu
    );
    println!(
        "      2  {:>19.0}  {:>11.2}  {:>30.0}",
        two.tps,
        two.cpu,
        2e6 / two.cpu
    );
    let growth = one.cpu / two.cpu;
    let verdict = if growth >= WANTED { "✓" } else { "✗" };
    println!("a second thread is worth {growth:.2} of the first {verdict}");
}

#[derive(Clone, Copy)]
struct Sample {
    tps: f64,
    /// Microseconds of pgvalet for a transaction.
    cpu: f64,
}

fn median(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    samples[samples.len() / 2]
}

struct Proxy {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Proxy {
    fn start(threads: usize, stub: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().display();
        let port = free_port();
        let config = directory.path().join("pgvalet.toml");
        let text = format!(
            "[listen]\naddress = [\"127.0.0.1:{port}\"]\n[admin]\naddress = \"\"\n\
             [store]\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"\n\
             [audit]\npath = \"{base}/audit.jsonl\"\n\
             [runtime]\nworkers = {threads}\n\
             [database.app]\nsecret = \"app\"\npool_size = {POOL}\nallow_cleartext = true\n\
             [[client]]\nname = \"bench\"\nnetwork = [\"127.0.0.1\"]\ndatabases = [\"app\"]\n"
        );
        std::fs::write(&config, text).expect("the configuration");
        let value = format!(
            "{{\"host\":\"127.0.0.1\",\"port\":{stub},\"dbname\":\"d\",\"username\":\"u\",\"password\":\"p\"}}"
        );
        let mut create = pgvalet(&config, &["secret", "create", "app"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("pgvalet starts");
        let mut input = create.stdin.take().expect("piped");
        input.write_all(value.as_bytes()).expect("written");
        drop(input);
        assert!(create.wait().expect("it ends").success());
        let process = pgvalet(&config, &["run"])
            .stderr(Stdio::null())
            .spawn()
            .expect("pgvalet starts");
        let proxy = Self {
            process,
            port,
            _directory: directory,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pgvalet does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    fn measure(&self) -> Sample {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (stop, done, port) = (stop.clone(), done.clone(), self.port);
                std::thread::spawn(move || client(port, &stop, &done))
            })
            .collect();
        // Until all are connected and every server connection is open.
        std::thread::sleep(Duration::from_millis(500));
        let (began, cpu, before) = (Instant::now(), self.cpu(), done.load(Relaxed));
        std::thread::sleep(ROUND);
        let transactions = (done.load(Relaxed) - before) as f64;
        let sample = Sample {
            tps: transactions / began.elapsed().as_secs_f64(),
            cpu: (self.cpu() - cpu) / transactions,
        };
        stop.store(true, Relaxed);
        for client in clients {
            client.join().expect("no client failed");
        }
        sample
    }

    /// Microseconds of user and system time so far.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("Linux, and it runs");
        let (_, after) = stat.rsplit_once(')').expect("a name");
        let words: Vec<&str> = after.split_whitespace().collect();
        let ticks = |n: usize| words[n].parse::<f64>().expect("a number");
        // Fields 14 and 15, in hundredths of a second.
        (ticks(11) + ticks(12)) * 10_000.0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pgvalet(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvalet"));
    command.arg("--config").arg(config).args(arguments);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// One transaction after the other; the pool is shared by more than it has.
fn client(port: u16, stop: &AtomicBool, done: &AtomicU64) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    socket.set_nodelay(true).expect("a socket");
    let body = b"\0\x03\0\0user\0bench\0database\0app\0\0";
    let length = u32::try_from(body.len() + 4).expect("short");
    let startup = [&length.to_be_bytes()[..], body].concat();
    socket.write_all(&startup).expect("written");
    let mut input = Vec::new();
    until_ready(&mut socket, &mut input);
    let query = message(b'Q', b"select 1\0");
    while !stop.load(Relaxed) {
        socket.write_all(&query).expect("written");
        until_ready(&mut socket, &mut input);
        done.fetch_add(1, Relaxed);
    }
    let _ = socket.write_all(&message(b'X', b""));
}

/// ReadyForQuery ends with the status: nothing else here ends so.
fn until_ready(socket: &mut TcpStream, input: &mut Vec<u8>) {
    input.clear();
    let mut buffer = [0; 4096];
    while !input.ends_with(b"Z\0\0\0\x05I") {
        let n = socket.read(&mut buffer).expect("an answer");
        assert!(
            n > 0,
            "the proxy hung up: {:?}",
            String::from_utf8_lossy(input)
        );
        input.extend_from_slice(&buffer[..n]);
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A Postgres that asks for the password and takes any, and answers every query
/// with the same row, without looking at it. A thread for each connection.
fn stub() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || serve(socket));
        }
    });
    port
}

fn serve(mut socket: TcpStream) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let mut startup = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()? - 4];
    socket.read_exact(&mut startup).ok()?;
    socket.write_all(&message(b'R', &[0, 0, 0, 3])).ok()?;
    frame(&mut socket)?;
    let mut hello = message(b'R', &[0; 4]);
    for parameter in [
        &b"server_version\x0016.0\0"[..],
        b"client_encoding\0UTF8\0",
        b"server_encoding\0UTF8\0",
        b"standard_conforming_strings\0on\0",
    ] {
        hello.extend(message(b'S', parameter));
    }
    hello.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    hello.extend(message(b'Z', b"I"));
    socket.write_all(&hello).ok()?;
    let answer = |column: &[u8]| {
        let fields = b"\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
        let mut answer = message(b'T', &[&b"\0\x01"[..], column, b"\0", fields].concat());
        answer.extend(message(b'D', b"\0\x01\0\0\0\x011"));
        answer.extend(message(b'C', b"SELECT 1\0"));
        answer.extend(message(b'Z', b"I"));
        answer
    };
    let usual = answer(b"x");
    let mut buffer = [0; 8192];
    loop {
        // Messages are short, and a write of the proxy's is one read.
        let n = socket.read(&mut buffer).ok().filter(|n| *n > 0)?;
        let mut rest = &buffer[..n];
        while let [tag, a, b, c, d, ..] = *rest {
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
            let (whole, after) = rest.split_at_checked(length + 1)?;
            rest = after;
            if tag == b'X' {
                return None;
            }
            // A fence is asked for by its column.
            let marked = b" AS pgvalet_";
            match whole.windows(marked.len()).position(|w| w == marked) {
                Some(at) => socket
                    .write_all(&answer(&whole[at + 4..whole.len() - 1]))
                    .ok()?,
                None => socket.write_all(&usual).ok()?,
            }
        }
    }
}

fn frame(socket: &mut TcpStream) -> Option<u8> {
    let mut buffer = [0; 8192];
    let n = socket.read(&mut buffer).ok().filter(|n| *n > 0)?;
    // Messages are short and come one at a time.
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?);
    (usize::try_from(length).ok()? + 1 == n).then_some(buffer[0])
}
