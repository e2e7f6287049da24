//! `pgvalet audit`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use crate::audit::{AuditSink, Filter, Report, table_head, table_row, verify};
use crate::base::duration;
use crate::config::Config;

/// How often `tail --follow` looks for more.
const POLL: Duration = Duration::from_millis(200);

#[derive(Subcommand)]
#[command(after_help = "Example:\n  pgvalet audit query --secret prod/orders --since 1h")]
pub(super) enum Command {
    /// Show the records that were asked for
    #[command(after_help = "Examples:\n  \
        pgvalet audit query --client orders-api --since 2026-01-31\n  \
        pgvalet audit query --secret prod/orders --version 0a1b2c3d --event credential.use --json")]
    Query(Query),
    /// Check that no record was changed, removed or moved
    #[command(after_help = "Example:\n  pgvalet audit verify data/audit.jsonl*\n\n\
        That the end of a log was cut off shows only against a hash kept elsewhere.")]
    Verify {
        /// Files of one log, in any order [default: that of the configuration]
        files: Vec<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the last records
    #[command(after_help = "Example:\n  pgvalet audit tail --follow")]
    Tail(Tail),
}

#[derive(clap::Args)]
pub(super) struct Query {
    /// Files to read [default: that of the configuration]
    files: Vec<PathBuf>,
    /// Only of this [[client]]
    #[arg(long)]
    client: Option<String>,
    /// Only with this secret, by name or ARN
    #[arg(long)]
    secret: Option<String>,
    /// Only with this version of a secret, or those that begin so
    #[arg(long)]
    version: Option<String>,
    /// Only of this database
    #[arg(long)]
    database: Option<String>,
    /// Only such events: session.start, credential.use, …
    #[arg(long)]
    event: Option<String>,
    /// From then on: 2026-01-31, 2026-01-31T12:00:00Z, or 30m for the last half hour
    #[arg(long, value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Before then
    #[arg(long, value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Print the lines as they were written
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Tail {
    /// The file to read [default: that of the configuration]
    file: Option<PathBuf>,
    /// How many records
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: usize,
    /// Go on showing what is written, over rotations
    #[arg(short, long)]
    follow: bool,
    /// Print the lines as they were written
    #[arg(long)]
    json: bool,
}

/// Runs a command; `config` is only read where no file was named.
pub(super) fn run(
    command: &Command,
    config: impl FnOnce() -> Result<Config, Failure>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        Command::Verify { files, json } => {
            let files = or_configured(files, config)?;
            let report = verify(&files).map_err(|e| Failure::Failed(e.to_string()))?;
            report_on(&report, *json, out)
        }
        Command::Query(q) => {
            let mut files = or_configured(&q.files, config)?;
            let beside = match (&files[..], q.files.is_empty()) {
                ([log], true) => beside(log),
                _ => Vec::new(),
            };
            // Before a proxy has run there are commands only.
            if !beside.is_empty() {
                files.retain(|log| log.exists());
            }
            query(q, &files, &beside, out)
        }
        Command::Tail(t) => {
            let named: Vec<PathBuf> = t.file.iter().cloned().collect();
            let files = or_configured(&named, config)?;
            files.iter().try_for_each(|path| tail(t, path, out))
        }
    }
}

fn or_configured(
    named: &[PathBuf],
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    match config()?.audit.sink {
        AuditSink::File(path) => Ok(vec![path]),
        AuditSink::Stdout => Err(Failure::Usage(
            "the configuration writes the audit log to standard output; name the file that collects it"
                .to_owned(),
        )),
    }
}

/// What commands have recorded beside the proxy's log; see `record`.
fn beside(log: &Path) -> Vec<PathBuf> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let is_one = |name: &str| {
        let rest = name
            .strip_prefix(&*stem)
            .and_then(|n| n.strip_suffix(".jsonl"));
        let kind = rest.and_then(|r| r.rsplit_once('-')).map(|(kind, _)| kind);
        matches!(kind, Some(".cli" | ".rotate"))
    };
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|e| is_one(&e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// A point in time, as people give it.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    duration::parse(text)
        .ok()
        .and_then(|ago| chrono::TimeDelta::from_std(ago).ok())
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(|| "write 2026-01-31, 2026-01-31T12:00:00Z, or 30m for half an hour ago".into())
}

fn report_on(report: &Report, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for note in &report.notes {
            writeln!(out, "note: {note}")?;
        }
        if let (Some(first), Some(last)) = (&report.first, &report.last) {
            writeln!(
                out,
                "{} records are whole: {} to {}, {} to {}",
                report.records, first.seq, last.seq, first.time, last.time
            )?;
        } else {
            writeln!(out, "0 records are whole")?;
        }
        if let Some(hash) = &report.last_hash {
            writeln!(out, "the hash of the last one is {hash}")?;
        }
        if let Some(broken) = &report.broken {
            writeln!(out, "BROKEN {broken}")?;
        }
    }
    match report.broken {
        None => Ok(()),
        Some(_) => Err(Failure::Shown),
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| {
        Failure::Failed(format!(
            "the audit log {} cannot be read: {e}",
            path.display()
        ))
    })
}

/// A record that was asked for, and the line that it was written in.
type Found = (Vec<u8>, Value);

/// Has `with` see what matches; how many lines are no records.
fn search(
    path: &Path,
    filter: &Filter,
    mut with: impl FnMut(Found) -> io::Result<()>,
) -> Result<u64, Failure> {
    let mut unread = 0;
    for line in BufReader::new(open(path)?).split(b'\n') {
        let line = line?;
        match serde_json::from_slice::<Value>(&line) {
            Ok(record) if filter.matches(&record) => with((line, record))?,
            Ok(_) => {}
            Err(_) => unread += 1,
        }
    }
    Ok(unread)
}

fn query(
    q: &Query,
    files: &[PathBuf],
    beside: &[PathBuf],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let filter = Filter {
        client: q.client.clone(),
        secret: q.secret.clone(),
        version: q.version.clone(),
        database: q.database.clone(),
        event: q.event.clone(),
        since: q.since,
        until: q.until,
    };
    if !q.json {
        writeln!(out, "{}", table_head())?;
    }
    let mut unread = 0;
    // Few; they take their places among the others.
    let mut commands = Vec::new();
    for path in beside {
        let searched = search(path, &filter, |found| {
            commands.push(found);
            Ok(())
        });
        match searched {
            Ok(lines) => unread += lines,
            // Another user's commands, perhaps: no reason to show nothing.
            Err(error) => tracing::warn!("passed over: {error}"),
        }
    }
    let time = |(_, record): &Found| record["time"].as_str().unwrap_or_default().to_owned();
    commands.sort_by_key(time);
    let mut commands = commands.into_iter().peekable();
    for path in files {
        unread += search(path, &filter, |found| {
            while let Some(earlier) = commands.next_if(|c| time(c) < time(&found)) {
                show(&earlier.0, &earlier.1, q.json, out)?;
            }
            show(&found.0, &found.1, q.json, out)
        })?;
    }
    for (line, record) in commands {
        show(&line, &record, q.json, out)?;
    }
    if unread > 0 {
        tracing::warn!(
            lines = unread,
            "lines that are no records were passed over; pgvalet audit verify says where"
        );
    }
    Ok(())
}

fn show(line: &[u8], record: &Value, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        out.write_all(line)?;
        out.write_all(b"\n")
    } else {
        writeln!(out, "{}", table_row(record))
    }
}

fn tail(t: &Tail, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    if !t.json {
        writeln!(out, "{}", table_head())?;
    }
    let mut file = Followed::open(path)?;
    let mut last = VecDeque::new();
    while let Some(line) = file.line()? {
        last.push_back(line);
        if last.len() > t.lines {
            last.pop_front();
        }
    }
    for line in last {
        show_line(&line, t.json, out)?;
    }
    out.flush()?;
    match t.follow {
        true => follow(t, file, path, out),
        false => Ok(()),
    }
}

/// Until the process is ended, or nobody reads any more.
fn follow(t: &Tail, mut file: Followed, path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        // Asked before the rest is read: a proxy that writes to a new file
        // writes no more to the old one.
        let successor = file.successor(path)?;
        while let Some(line) = file.line()? {
            show_line(&line, t.json, out)?;
        }
        out.flush()?;
        match successor {
            Some(next) => file = next,
            None => std::thread::sleep(POLL),
        }
    }
}

fn show_line(line: &[u8], json: bool, out: &mut dyn Write) -> io::Result<()> {
    match serde_json::from_slice(line) {
        Ok(record) => show(line, &record, json, out),
        Err(_) => Ok(()),
    }
}

/// A file that grows, and is replaced by a new one at times.
struct Followed {
    reader: BufReader<File>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Followed {
    fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            reader: BufReader::new(open(path)?),
            partial: Vec::new(),
        })
    }

    /// The next whole line, without its line end.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.reader.read_until(b'\n', &mut self.partial)?;
        if self.partial.pop_if(|b| *b == b'\n').is_none() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.partial)))
    }

    /// The file that is at the path by now, if it is another one that is
    /// written to: the proxy leaves the old one a little later than it is
    /// renamed.
    fn successor(&self, path: &Path) -> Result<Option<Self>, Failure> {
        let here = self.reader.get_ref().metadata()?;
        let Ok(there) = std::fs::metadata(path) else {
            return Ok(None); // renamed, and the new one not made yet
        };
        let same = (here.dev(), here.ino()) == (there.dev(), there.ino());
        if same || there.len() == 0 {
            Ok(None)
        } else {
            Self::open(path).map(Some)
        }
    }
}
