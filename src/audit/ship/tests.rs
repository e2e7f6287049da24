//! Sinks get every record, once or more, whatever becomes of them or of the log.

mod schema;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::audit::{Audit, AuditSink, OnAuditFailure, Options, Record, Segments};
use crate::metrics::Metrics;

fn sink(kind: SinkKind) -> SinkOptions {
    SinkOptions {
        name: "s".to_owned(),
        kind,
        what: What::Records,
        format: Format::Pgvalet,
        interval: Duration::ZERO,
    }
}

fn options(log: &Path, sinks: Vec<SinkOptions>) -> Options {
    Options {
        checkpoint: Duration::from_secs(3600),
        sinks,
        ..Options::of(AuditSink::File(log.to_owned()), OnAuditFailure::Deny)
    }
}

async fn log(audit: &Audit, n: usize) {
    for i in 0..n {
        let record = Record::gap(&format!("record {i}"));
        audit.record_durably(record).await.expect("written");
    }
}

/// Writes `n` records with this sink.
async fn written(directory: &Path, kind: SinkKind, n: usize) -> PathBuf {
    let path = directory.join("audit.jsonl");
    let audit = Audit::open(&options(&path, vec![sink(kind)]), &Metrics::new()).expect("opens");
    log(&audit, n).await;
    audit.close().await;
    path
}

/// The numbers of the records in these lines.
fn seqs<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<u64> {
    let seq = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        record["seq"].as_u64().expect("a number")
    };
    lines.into_iter().map(seq).collect()
}

/// Those of records, without the heading of the log and its checkpoints.
fn expected(n: u64) -> Vec<u64> {
    (2..2 + n).collect()
}

#[tokio::test]
async fn a_file_gets_every_record_over_restarts_and_rotations() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy");
    let path = directory.path().join("audit.jsonl");
    let options = || Options {
        segments: Segments {
            size: 4096,
            ..Segments::default()
        },
        ..options(&path, vec![sink(SinkKind::File(copy.clone()))])
    };
    for _ in 0..3 {
        let audit = Audit::open(&options(), &Metrics::new()).expect("opens");
        log(&audit, 40).await;
        // The thread that closes files looks once a second.
        let closed = || crate::audit::files::closed(&path).expect("read").len();
        let (before, until) = (closed(), Instant::now() + Duration::from_secs(20));
        while closed() == before && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        log(&audit, 5).await;
        audit.close().await;
    }
    let text = fs::read_to_string(&copy).expect("read");
    let sent = seqs(text.lines());
    let mut all = Vec::new();
    for segment in crate::audit::segments(&path).expect("read") {
        let mut lines = crate::audit::Lines::open(&segment).expect("read");
        let mut line = Vec::new();
        while lines.next(&mut line).expect("read") {
            let line = String::from_utf8(line.clone()).expect("UTF-8");
            if !line.contains("\"event\":\"checkpoint\"") {
                all.extend(seqs([line.as_str()]));
            }
        }
    }
    assert_eq!(sent, all);
    assert!(all.len() >= 135, "{}", all.len());
}

#[tokio::test]
async fn checkpoints_go_where_they_are_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let (all, some) = (directory.path().join("all"), directory.path().join("some"));
    let of = |name: &str, what, path: &Path| SinkOptions {
        name: name.to_owned(),
        what,
        ..sink(SinkKind::File(path.to_owned()))
    };
    let sinks = vec![of("a", What::All, &all), of("b", What::Checkpoints, &some)];
    let audit = Audit::open(&options(&path, sinks), &Metrics::new()).expect("opens");
    log(&audit, 3).await;
    audit.close().await;
    let read = |path: &Path| fs::read_to_string(path).expect("read");
    assert_eq!(seqs(read(&all).lines()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(read(&some).lines()), [1, 5, 6]);
    // Whoever has them can see whether the log is the one that was signed.
    let note = crate::audit::Against {
        checkpoint: Some(("kept".to_owned(), read(&some))),
        ..crate::audit::Against::default()
    };
    let source = crate::audit::Source::Log(path.clone());
    let report = crate::audit::verify(&source, &note).expect("read");
    assert_eq!(report.broken, None);
    fs::write(&path, read(&path).replacen("record 1", "record 9", 1)).expect("written");
    let report = crate::audit::verify(&source, &note).expect("read");
    assert!(report.broken.is_some());
}

/// What a sink does not take waits in the log, and no file is removed that has it.
#[tokio::test]
async fn a_sink_that_is_away_gets_all_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let away = directory.path().join("away");
    let copy = away.join("copy");
    let metrics = Metrics::new();
    let path = directory.path().join("audit.jsonl");
    let open = || {
        let options = options(&path, vec![sink(SinkKind::File(copy.clone()))]);
        Audit::open(&options, &metrics).expect("opens")
    };
    let audit = open();
    log(&audit, 10).await;
    let until = Instant::now() + Duration::from_secs(20);
    let lags = || {
        let text = metrics.render();
        let failed = text.contains("pgvalet_audit_sink_failures_total{sink=\"s\"}");
        failed && !text.contains("pgvalet_audit_sink_lag_records{sink=\"s\"} 0\n")
    };
    while !lags() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(lags(), "{}", metrics.render());
    let limits = Segments {
        keep: Some(Duration::ZERO),
        ..Segments::default()
    };
    fs::rename(&path, crate::audit::files::segment(&path, 1)).expect("renamed");
    let old = |taken| {
        let old = crate::audit::segment::old(&path, &limits, taken, chrono::Utc::now());
        old.expect("read").len()
    };
    audit.close().await;
    let again = open();
    log(&again, 1).await;
    assert_eq!((old(0), old(u64::MAX)), (0, 1));
    fs::create_dir(&away).expect("made");
    again.close().await;
    let third = open();
    third.close().await;
    let text = fs::read_to_string(&copy).expect("read");
    let sent = seqs(text.lines());
    assert!(
        expected(10).iter().all(|seq| sent.contains(seq)),
        "{sent:?}"
    );
    assert!(sent.is_sorted(), "{sent:?}");
}

#[tokio::test]
async fn a_command_reads_every_record() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy");
    let script = format!("cat >>{}", copy.display());
    let words = ["sh", "-c", &script].map(str::to_owned).to_vec();
    written(directory.path(), SinkKind::Command(words), 50).await;
    let text = fs::read_to_string(&copy).expect("read");
    assert_eq!(seqs(text.lines()), expected(50));
}

/// The JSON behind the header of each message.
fn bodies(messages: &[String]) -> Vec<&str> {
    let from = |m: &String| m.find(" - {").expect("a body") + 3;
    messages.iter().map(|m| &m[from(m)..]).collect()
}

fn datagrams(receive: impl Fn(&mut [u8]) -> std::io::Result<usize>, n: usize) -> Vec<String> {
    let mut buffer = vec![0; 65_536];
    (0..n)
        .map(|_| {
            let length = receive(&mut buffer).expect("received");
            String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
        })
        .collect()
}

#[tokio::test]
async fn syslog_gets_every_record_over_sockets() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("log");
    let server = UnixDatagram::bind(&place).expect("bound");
    let kind = |address| SinkKind::Syslog { address, ca: None };
    written(directory.path(), kind(SyslogAddress::Unix(place)), 5).await;
    let messages = datagrams(|buffer| server.recv(buffer), 5);
    assert!(messages[0].starts_with("<108>1 20"), "{messages:?}");
    assert_eq!(seqs(bodies(&messages)), expected(5));

    let directory = tempfile::tempdir().expect("a directory");
    let server = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = server.local_addr().expect("an address").to_string();
    written(directory.path(), kind(SyslogAddress::Udp(address)), 5).await;
    let messages = datagrams(|buffer| server.recv(buffer), 5);
    assert_eq!(seqs(bodies(&messages)), expected(5));
}

/// Reads messages whose octets are counted.
fn counted(stream: impl Read, n: usize) -> Vec<String> {
    let mut reader = BufReader::new(stream);
    (0..n)
        .map(|_| {
            let mut length = Vec::new();
            reader.read_until(b' ', &mut length).expect("read");
            let length = String::from_utf8(length).expect("UTF-8");
            let mut message = vec![0; length.trim().parse().expect("a length")];
            reader.read_exact(&mut message).expect("read");
            String::from_utf8(message).expect("UTF-8")
        })
        .collect()
}

fn serve<T: Send + 'static>(
    serve: impl FnOnce(std::net::TcpStream) -> T + Send + 'static,
) -> (String, Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        let _ = tell.send(serve(stream));
    });
    (format!("localhost:{port}"), told)
}

#[tokio::test]
async fn syslog_gets_every_record_over_tcp_and_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let (address, told) = serve(|stream| counted(stream, 5));
    let kind = |address, ca| SinkKind::Syslog { address, ca };
    written(directory.path(), kind(SyslogAddress::Tcp(address), None), 5).await;
    let messages = told.recv_timeout(Duration::from_secs(10)).expect("told");
    assert_eq!(seqs(bodies(&messages)), expected(5));

    let directory = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, made.cert.pem()).expect("written");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a configuration");
    let (address, told) = serve(move |stream| {
        let server = rustls::ServerConnection::new(config.into()).expect("a server");
        counted(rustls::StreamOwned::new(server, stream), 5)
    });
    written(
        directory.path(),
        kind(SyslogAddress::Tls(address), Some(ca)),
        5,
    )
    .await;
    let messages = told.recv_timeout(Duration::from_secs(10)).expect("told");
    assert_eq!(seqs(bodies(&messages)), expected(5));
}

/// Answers requests, and returns their heads and bodies.
fn http(mut stream: std::net::TcpStream, statuses: &[&str]) -> Vec<(String, String)> {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    let mut requests = Vec::new();
    for status in statuses {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("read");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("read");
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}").expect("written");
        requests.push((head, String::from_utf8(body).expect("UTF-8")));
    }
    requests
}

/// A collector that is busy at first gets the records again.
#[tokio::test]
async fn a_collector_gets_records_until_it_takes_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    fs::write(&token, "abc\n").expect("written");
    let answers = ["503 Service Unavailable", "200 OK"];
    let (address, told) = serve(move |stream| http(stream, &answers));
    let kind = SinkKind::Otlp {
        url: format!("http://{address}/v1/logs"),
        token_file: Some(token),
        ca: None,
    };
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&options(&path, vec![sink(kind)]), &Metrics::new()).expect("opens");
    log(&audit, 1).await;
    let requests = told.recv_timeout(Duration::from_secs(20)).expect("told");
    audit.close().await;
    for (head, body) in &requests {
        assert!(head.starts_with("POST /v1/logs HTTP/1.1"), "{head}");
        assert!(head.contains("authorization: Bearer abc\r\n"), "{head}");
        let request: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let records = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        let body = records[0]["body"]["stringValue"].as_str().expect("text");
        assert_eq!(seqs([body]), [2]);
    }
}
