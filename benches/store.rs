//! What the embedded store's API is good for: signed GetSecretValue over the
//! wire, and a store of ten thousand secrets. `make bench-store` prints it.
//!
//! Clients sign a request once and send it again and again, as fast as answers
//! come: a signature is good for minutes, and it is the store that is measured.
//! Client and store share the machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac};
use serde_json::{Value, json};

const CLIENTS: usize = 16;
const SECONDS: u64 = 5;
const SECRETS: u32 = 10_000;
const VERSIONS: u32 = 5;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("store.toml");
    let base = directory.path().display();
    let text = format!(
        "[store]\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"\n\
         address = \"127.0.0.1:0\"\n[audit]\npath = \"{base}/audit.jsonl\"\n"
    );
    std::fs::write(&config, text).expect("the configuration");
    let policy = directory.path().join("all.json");
    let all = json!({"Version": "2012-10-17", "Statement":
        [{"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}]});
    std::fs::write(&policy, all.to_string()).expect("the policy");
    let policy = policy.to_str().expect("text");
    let added = pgvalet(
        &config,
        &[
            "store",
            "principal",
            "add",
            "bench",
            "--policy",
            policy,
            "--json",
        ],
        "",
    );
    let key: Value = serde_json::from_str(&added).expect("JSON");
    let value = r#"{"username":"orders","password":"a-password-of-the-usual-length","host":"db.internal","port":5432}"#;
    pgvalet(&config, &["secret", "create", "bench"], value);

    println!(
        "GetSecretValue, signed, over HTTP, {CLIENTS} clients, {SECONDS} s, on {} cores:",
        cores()
    );
    let store = Store::start(&config);
    load(&store.address, &key);
    drop(store);

    fill(&directory.path().join("store.db"));
    println!("{SECRETS} secrets with {VERSIONS} versions each:");
    let started = Instant::now();
    let store = Store::start(&config);
    println!("  open                {:>9.0?}", started.elapsed());
    list(&store.address, &key);
    println!("GetSecretValue among them:");
    load(&store.address, &key);
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn pgvalet(config: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgvalet"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pgvalet starts");
    let mut stdin = child.stdin.take().expect("piped");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("pgvalet ends");
    assert!(output.status.success(), "{arguments:?} failed");
    String::from_utf8(output.stdout).expect("text")
}

struct Store {
    child: Child,
    address: String,
}

impl Store {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgvalet"))
            .args(["store", "serve", "--config"])
            .arg(config)
            .env("PGVALET_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("pgvalet starts");
        let mut url = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut url).expect("its URL");
        let address = url
            .trim()
            .strip_prefix("http://")
            .expect("a URL")
            .to_owned();
        Self { child, address }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signed request as it goes over the wire.
fn request(address: &str, key: &Value, target: &str, body: &str) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let sha = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let date = chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/eu-west-1/secretsmanager/aws4_request", &date[..8]);
    let target = format!("secretsmanager.{target}");
    let names = "host;x-amz-date;x-amz-target";
    let canonical = format!(
        "POST\n/\n\nhost:{address}\nx-amz-date:{date}\nx-amz-target:{target}\n\n{names}\n{}",
        sha(body)
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha(&canonical));
    let secret = key["secret_access_key"].as_str().expect("text");
    let mut signing = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &signing);
        signing = hmac::sign(&key, part.as_bytes()).as_ref().to_vec();
    }
    let signing = hmac::Key::new(hmac::HMAC_SHA256, &signing);
    let signature = hex(hmac::sign(&signing, to_sign.as_bytes()).as_ref());
    let id = key["access_key_id"].as_str().expect("text");
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Date: {date}\r\nX-Amz-Target: {target}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, \
         Signature={signature}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One exchange; the body of the answer, which has to be 200.
fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> usize {
    stream.write_all(request).expect("sent");
    answer.clear();
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = stream.read(&mut buffer).expect("an answer");
        assert!(n > 0, "the store hung up");
        answer.extend_from_slice(&buffer[..n]);
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
            .expect("a length");
        if answer.len() >= end + 4 + length {
            assert!(
                head.starts_with("http/1.1 200"),
                "{}",
                String::from_utf8_lossy(answer)
            );
            return end + 4;
        }
    }
}

fn load(address: &str, key: &Value) {
    let request = request(address, key, "GetSecretValue", r#"{"SecretId":"bench"}"#);
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, request) = (address.to_owned(), request.clone());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("connected");
                stream.set_nodelay(true).expect("an option");
                let mut times = Vec::new();
                let mut answer = Vec::new();
                while Instant::now() < until {
                    let started = Instant::now();
                    exchange(&mut stream, &request, &mut answer);
                    times.push(started.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = clients
        .into_iter()
        .flat_map(|client| client.join().expect("a client"))
        .collect();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "  requests a second   {:>9.0}",
        times.len() as f64 / SECONDS as f64
    );
    println!("  p50                 {:>9.2?}", at(0.5));
    println!("  p99                 {:>9.2?}", at(0.99));
}

/// Ten thousand copies of the one secret that is there. Their values open
/// nowhere, because they are sealed for another: whatever lists them without
/// an error has not looked at them.
fn fill(database: &Path) {
    let connection = rusqlite::Connection::open(database).expect("the store");
    connection
        .execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {SECRETS})
             INSERT INTO secret (name, arn, created, changed)
             SELECT 'copy/' || n, arn || n, created + n, changed + n FROM secret, n
             WHERE name = 'bench';
             WITH RECURSIVE v(v) AS (VALUES (1) UNION ALL SELECT v + 1 FROM v WHERE v < {VERSIONS})
             INSERT INTO version (secret, token, created, data_key, value)
             SELECT secret.id, printf('%032d', v), secret.created + v, original.data_key, original.value
             FROM secret, v, (SELECT data_key, value FROM version LIMIT 1) AS original
             WHERE name LIKE 'copy/%';
             INSERT INTO label (secret, name, version)
             SELECT secret, CASE token WHEN printf('%032d', {VERSIONS}) THEN 'AWSCURRENT' ELSE 'AWSPREVIOUS' END, id
             FROM version WHERE token IN (printf('%032d', {VERSIONS}), printf('%032d', {VERSIONS} - 1));
             COMMIT;"
        ))
        .expect("filled");
}

fn list(address: &str, key: &Value) {
    let mut stream = TcpStream::connect(address).expect("connected");
    let mut answer = Vec::new();
    let (mut next, mut seen, mut slowest) = (None::<String>, 0, Duration::ZERO);
    let started = Instant::now();
    loop {
        let mut body = json!({ "MaxResults": 100 });
        if let Some(token) = &next {
            body["NextToken"] = token.as_str().into();
        }
        let request = request(address, key, "ListSecrets", &body.to_string());
        let page = Instant::now();
        let at = exchange(&mut stream, &request, &mut answer);
        slowest = slowest.max(page.elapsed());
        let page: Value = serde_json::from_slice(&answer[at..]).expect("JSON");
        seen += page["SecretList"].as_array().map_or(0, Vec::len);
        next = page["NextToken"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    println!(
        "  list all, by 100    {:>9.0?}   ({seen} secrets)",
        started.elapsed()
    );
    println!("  slowest page        {:>9.2?}", slowest);
    let body = r#"{"Filters":[{"Key":"name","Values":["copy/9999"]}]}"#;
    let request = request(address, key, "ListSecrets", body);
    let filtered = Instant::now();
    let at = exchange(&mut stream, &request, &mut answer);
    let page: Value = serde_json::from_slice(&answer[at..]).expect("JSON");
    assert_eq!(page["SecretList"].as_array().map_or(0, Vec::len), 1);
    println!("  find one by filter  {:>9.2?}", filtered.elapsed());
}
