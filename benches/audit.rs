//! How fast the audit log is searched and verified: `make bench-audit` writes RECORDS records
//! (ten million) of sessions as a proxy writes them, in files that are closed and compressed as
//! its are, and prints what `pgvalet audit query` and `pgvalet audit verify` take for them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgvalet::audit::{
    Audit, AuditSink, ClientRef, CredentialRef, OnAuditFailure, Options, Record, ServerRef,
    SessionRef, SessionTotals, UseRef,
};
use pgvalet::metrics::Metrics;

const RECORDS: u64 = 10_000_000;
/// After so many records the writer is waited for: its queue has room for some thousands.
const BATCH: u64 = 1_000;
/// How often a command's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    let records = std::env::var("RECORDS").ok().and_then(|n| n.parse().ok());
    let records: u64 = records.unwrap_or(RECORDS);
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("audit.jsonl");
    let started = Instant::now();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(write(&log, records));
    println!(
        "{records} records, {} MiB in {} files, written in {:.0?}; on {} cores:",
        size(directory.path()) >> 20,
        fs::read_dir(directory.path()).map_or(0, Iterator::count),
        started.elapsed(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    let config = directory.path().join("pgvalet.toml");
    let text = format!("[audit]\npath = {log:?}\n[database.app]\nsecret = \"prod/orders\"\n");
    fs::write(&config, text).expect("the configuration");
    for (what, arguments) in [
        ("one client of 1,000", &["query", "--client", "app-7"][..]),
        ("one version of 50", &["query", "--version", "00000007"]),
        ("an event", &["query", "--event", "session.deny"]),
        ("every record", &["query", "--json"]),
        ("a report", &["report", "--json"]),
        ("verify", &["verify"]),
    ] {
        measure(&config, what, arguments, records);
    }
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// Sessions of 1,000 clients with 50 versions: let in, used a version, ended; now and then a
/// login, and a denial.
async fn write(log: &Path, records: u64) {
    let sink = AuditSink::File(log.to_owned());
    let options = Options::of(sink, OnAuditFailure::Deny);
    let audit = Audit::open(&options, &Metrics::new()).expect("the log");
    let mut written = 0;
    for session in 0.. {
        for record in records_of(session) {
            written += 1;
            match written % BATCH {
                0 => audit.record_durably(record).await.expect("written"),
                _ => audit.record(record),
            }
            if written == records {
                return audit.close().await;
            }
        }
    }
}

fn records_of(session: u64) -> Vec<Record> {
    let id = format!("{session:x}");
    let by = SessionRef {
        id: id.as_str().into(),
        client: format!("app-{}", session % 1_000).into(),
        source: format!("10.{}.7.9:{}", session % 200, session % 50_000).into(),
        via: None,
        database: "orders".into(),
    };
    let client = ClientRef {
        source: by.source.clone(),
        database: Some(by.database.clone()),
        requested_user: Some("orders".into()),
        rule: Some((by.client.clone(), 1)),
        ..ClientRef::default()
    };
    if session.is_multiple_of(10_000) {
        return vec![Record::session_deny(client, "no_rule", Some("28000"))];
    }
    let credential = CredentialRef {
        secret: "prod/orders".into(),
        arn: "arn:aws:secretsmanager:local:000000000000:secret:prod/orders-AbCdEf".into(),
        version: format!("{:08x}-7c31-4f5e-9d20-3a1b5c7d9e0f", session / 10_000 % 50).into(),
        stages: vec!["AWSCURRENT".to_owned()],
        user: "orders".into(),
    };
    let server = ServerRef {
        host: "db.internal".into(),
        port: 5432,
        pid: i32::try_from(session % 30_000).ok(),
    };
    let time = "2026-01-02T03:04:05Z".to_owned();
    let totals = SessionTotals {
        transactions: session % 100,
        bytes_in: 1_000,
        bytes_out: 10_000,
        duration: Duration::from_millis(session % 60_000),
        uses: vec![UseRef {
            secret: credential.secret.clone(),
            version: credential.version.clone(),
            leases: session % 100,
            transactions: Some(session % 100),
            bytes_in: Some(1_000),
            bytes_out: Some(10_000),
            first: time.clone(),
            last: time,
            pids: server.pid.into_iter().collect(),
            other_pids: 0,
        }],
    };
    let mut records = vec![Record::session_start(by.id.clone(), client)];
    if session.is_multiple_of(20) {
        let (database, mechanism) = (by.database.clone(), "SCRAM-SHA-256");
        let open = Record::server_open(database, credential.clone(), server.clone(), mechanism);
        records.push(open);
    }
    records.push(Record::credential_use(by.clone(), credential, server));
    records.push(Record::session_end(by, totals, None));
    records
}

/// Runs a command of `pgvalet audit`, and prints what it took.
fn measure(config: &Path, what: &str, arguments: &[&str], records: u64) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgvalet"))
        .args(["audit", "--config"])
        .arg(config)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("pgvalet starts");
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
        memory = memory.max(kib.unwrap_or_default());
        if let Some(ended) = child.try_wait().expect("a child") {
            break ended;
        }
        std::thread::sleep(LOOK);
    };
    let took = started.elapsed();
    assert!(ended.success(), "pgvalet audit {arguments:?} failed");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = records as f64 / took.as_secs_f64() / 1e6;
    println!(
        "  {what:<20} {:>6.1} s  {rate:>5.2} million records/s  {:>4} MiB",
        took.as_secs_f64(),
        memory >> 10
    );
}
