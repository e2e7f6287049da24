//! Lines of Postgres's log: its jsonlog, its csvlog, and its text with a `log_line_prefix`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use regex::Regex;
use serde::Deserialize;

use super::csv;

/// How the log is written.
#[derive(Debug)]
pub enum LogFormat {
    Json,
    Csv,
    /// The prefix as a pattern.
    Text(Regex),
}

/// A line that is to be found in the audit log as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresLine {
    pub file: PathBuf,
    /// Its number, or that of the entry; from 1.
    pub line: u64,
    pub time: DateTime<Utc>,
    pub pid: i32,
    pub user: String,
    pub application_name: String,
    pub wanted: Wanted,
}

/// What a line tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A login.
    Authorized,
    /// A statement; its text.
    Statement(String),
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error(
        "{0}: the time {1:?} is not in UTC; set log_timezone = 'UTC' in Postgres, or its times cannot be compared"
    )]
    Zone(String, String),
    #[error("log_line_prefix {0:?} has no {1}; it needs %p and %m")]
    Prefix(String, &'static str),
    #[error("{0}: no line of it begins as log_line_prefix says; name that with --prefix")]
    NoLine(String),
}

impl LogFormat {
    /// By the end of the name of the file; `prefix` is `log_line_prefix`.
    ///
    /// # Errors
    /// The prefix has not what is needed.
    pub fn of(path: &Path, prefix: &str) -> Result<Self, Unreadable> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            _ => pattern(prefix).map(Self::Text),
        }
    }
}

/// The pattern of a `log_line_prefix`, with a group for each escape that is needed.
fn pattern(prefix: &str) -> Result<Regex, Unreadable> {
    for (escape, what) in [("%p", "%p"), ("%m", "%m")] {
        if !prefix.contains(escape) {
            return Err(Unreadable::Prefix(prefix.to_owned(), what));
        }
    }
    let mut pattern = String::from("(?s)^");
    let mut chars = prefix.chars();
    let mut optional = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            pattern.push_str(&regex::escape(&c.to_string()));
            continue;
        }
        let escape = chars.by_ref().find(|c| !(c.is_ascii_digit() || *c == '-'));
        match escape {
            Some('p') => pattern.push_str(r"\s*(?<pid>\d+)\s*"),
            Some('m') => pattern.push_str(r"(?<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+)"),
            Some('u') => pattern.push_str("(?<user>.*?)"),
            Some('a') => pattern.push_str("(?<name>.*?)"),
            // What follows is missing in lines of no session.
            Some('q') => {
                pattern.push_str("(?:");
                optional = true;
            }
            Some('%') => pattern.push('%'),
            Some(_) => pattern.push_str(".*?"),
            None => {}
        }
    }
    if optional {
        pattern.push_str(")?");
    }
    pattern.push_str(r"LOG:  (?<message>.*)$");
    Regex::new(&pattern).map_err(|_| Unreadable::Prefix(prefix.to_owned(), "%p and %m"))
}

/// Calls `with` for each line that tells of a login or a statement.
///
/// # Errors
/// [`Unreadable`].
pub fn read(
    path: &Path,
    format: &LogFormat,
    mut with: impl FnMut(PostgresLine),
) -> Result<(), Unreadable> {
    let name = || path.display().to_string();
    let wrong = |error| Unreadable::Io {
        path: name(),
        error,
    };
    let mut reader = BufReader::with_capacity(1 << 17, File::open(path).map_err(wrong)?);
    let (mut line, mut began) = (0, false);
    loop {
        line += 1;
        let entry = match format {
            LogFormat::Csv => csv::entry(&mut reader).map_err(wrong)?.map(of_csv),
            LogFormat::Json => text(&mut reader).map_err(wrong)?.map(|t| of_json(&t)),
            LogFormat::Text(prefix) => {
                let text = text(&mut reader).map_err(wrong)?;
                text.map(|t| of_text(&t, prefix))
            }
        };
        let Some(entry) = entry else { break };
        let Some(entry) = entry else { continue };
        began = true;
        let Some(wanted) = wanted(&entry.message) else {
            continue;
        };
        let time = time(&entry.time).ok_or_else(|| Unreadable::Zone(name(), entry.time.clone()))?;
        with(PostgresLine {
            file: path.to_owned(),
            line,
            time,
            pid: entry.pid,
            user: entry.user,
            application_name: entry.application_name,
            wanted,
        });
    }
    match (began, line) {
        (false, 2..) => Err(Unreadable::NoLine(name())),
        _ => Ok(()),
    }
}

/// The next line without its end.
fn text(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(rename = "timestamp")]
    time: String,
    pid: i32,
    user: String,
    application_name: String,
    message: String,
}

fn of_json(text: &str) -> Option<Entry> {
    serde_json::from_str(text).ok()
}

/// By the places of the columns in the documentation.
fn of_csv(mut fields: Vec<String>) -> Option<Entry> {
    let mut field = |n: usize| fields.get_mut(n).map(std::mem::take).unwrap_or_default();
    Some(Entry {
        time: field(0),
        user: field(1),
        pid: field(3).parse().ok()?,
        message: field(13),
        application_name: field(22),
    })
}

fn of_text(text: &str, prefix: &Regex) -> Option<Entry> {
    let found = prefix.captures(text)?;
    let group = |name| found.name(name).map_or("", |m| m.as_str()).to_owned();
    Some(Entry {
        time: group("time"),
        pid: group("pid").parse().ok()?,
        user: group("user"),
        application_name: group("name"),
        message: group("message"),
    })
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let (time, zone) = text.rsplit_once(' ')?;
    let utc = matches!(zone, "UTC" | "GMT" | "Etc/UTC" | "Z" | "+00");
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    utc.then(|| time.and_utc())
}

fn wanted(message: &str) -> Option<Wanted> {
    if message.starts_with("connection authorized: ") {
        return Some(Wanted::Authorized);
    }
    // `duration: 0.1 ms  statement: …`, if that is how statements are logged.
    let rest = match message.strip_prefix("duration: ") {
        Some(rest) => rest.split_once("ms  ")?.1,
        None => message,
    };
    if let Some(text) = rest.strip_prefix("statement: ") {
        return Some(Wanted::Statement(text.to_owned()));
    }
    // `execute NAME: …`; a name may have anything but a colon and a blank.
    let text = rest.strip_prefix("execute ")?.split_once(": ")?.1;
    Some(Wanted::Statement(text.to_owned()))
}
