//! `[audit]` and `[[audit.sink]]`: where the use of secrets is recorded.

use std::time::Duration;

use super::section::Section;
use super::store::url;
use crate::audit::{
    self, AuditSink, Format, Lock, OnAuditFailure, Segments, SinkKind, SinkOptions, SyslogAddress,
    What,
};
use crate::base::{duration, nonempty, size};

/// The smallest size of a file: a smaller one would be closed every few records.
const SMALLEST_SEGMENT: u64 = 64 << 10;

/// How long closed files are kept; `None`: for ever.
fn keep(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "forever" => Ok(None),
        text => duration::parse(text).map(Some),
    }
}

pub(super) fn audit(mut s: Section<'_, '_>) -> audit::Options {
    let resolve = s.resolve("path");
    let path = s.text("path", nonempty).unwrap_or_default();
    let log = match AuditSink::parse(&path) {
        AuditSink::File(_) => AuditSink::File(resolve(&path)),
        AuditSink::Stdout => AuditSink::Stdout,
    };
    let words = [
        ("deny", OnAuditFailure::Deny),
        ("continue", OnAuditFailure::Continue),
    ];
    let on_failure = s.choice("on_failure", words);
    let checkpoint = s.duration("checkpoint");
    let summary = s.duration("summary");
    let leases = s.boolean("leases");
    let least = |text: &str| match size::parse(text)? {
        bytes if bytes < SMALLEST_SEGMENT => {
            Err(format!("{text:?} is too small; write at least \"64KiB\""))
        }
        bytes => Ok(bytes),
    };
    let segments = Segments {
        size: s.text("rotate_size", least).unwrap_or_default(),
        age: s.duration("rotate_age"),
        keep: s.text("keep", keep).flatten(),
    };
    let sinks = sinks(&mut s, &log);
    s.finish();
    audit::Options {
        sink: log,
        on_failure,
        checkpoint,
        summary,
        leases,
        segments,
        sinks,
    }
}

/// Every `[[audit.sink]]`.
fn sinks(s: &mut Section<'_, '_>, log: &AuditSink) -> Vec<SinkOptions> {
    let sections = s.array("sink");
    if !sections.is_empty() && *log == AuditSink::Stdout {
        s.wrong("sinks follow the files of the log, and with path = \"stdout\" there are none; write a path, and add a sink of kind \"stdout\"");
    }
    let mut sinks: Vec<SinkOptions> = Vec::new();
    for section in sections {
        let at = section.at();
        let Some(sink) = sink(section) else { continue };
        if sinks.iter().any(|other| other.name == sink.name) {
            let name = &sink.name;
            s.problems.add(
                &at,
                format!("there are two sinks {name:?}; give each a name"),
            );
        }
        sinks.push(sink);
    }
    sinks
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Stdout,
    Syslog,
    Otlp,
    Command,
    S3,
}

const KINDS: [(&str, Kind, &[&str]); 6] = [
    ("file", Kind::File, &["path"]),
    ("stdout", Kind::Stdout, &[]),
    ("syslog", Kind::Syslog, &["address", "tls_ca"]),
    ("otlp", Kind::Otlp, &["url", "token_file", "tls_ca"]),
    ("command", Kind::Command, &["command"]),
    (
        "s3",
        Kind::S3,
        &[
            "bucket",
            "prefix",
            "region",
            "endpoint_url",
            "lock",
            "lock_time",
        ],
    ),
];

/// Reads a sink; `None` if there is a mistake, which has been noted.
fn sink(mut s: Section<'_, '_>) -> Option<SinkOptions> {
    if !s.has("kind") {
        s.wrong("kind is missing; write kind = \"syslog\", or another");
        return None;
    }
    let kind = s.choice("kind", KINDS.map(|(word, kind, _)| (word, kind)));
    let (word, _, own) = KINDS.iter().find(|(_, k, _)| *k == kind)?;
    for (_, _, keys) in KINDS {
        for key in keys.iter().filter(|key| s.has(key) && !own.contains(key)) {
            s.wrong(format!(
                "{key} belongs to another kind of sink than {word:?}; remove it"
            ));
        }
    }
    let name = s.text("name", name).unwrap_or_else(|| (*word).to_owned());
    let whats = [
        ("records", What::Records),
        ("checkpoints", What::Checkpoints),
        ("all", What::All),
    ];
    let what = s.choice("what", whats);
    let format = s.choice(
        "format",
        [("pgvalet", Format::Pgvalet), ("ocsf", Format::Ocsf)],
    );
    let own_interval = s.has("interval");
    let interval = match (s.duration("interval"), kind) {
        (interval, _) if own_interval => interval,
        (_, Kind::S3) => Duration::from_secs(60),
        _ => Duration::from_secs(1),
    };
    let target = target(&mut s, kind, word);
    s.finish();
    Some(SinkOptions {
        name,
        kind: target?,
        what,
        format,
        interval,
    })
}

fn target(s: &mut Section<'_, '_>, kind: Kind, word: &str) -> Option<SinkKind> {
    let path = s.path("path");
    let address = s.text("address", SyslogAddress::parse);
    let url_of = s.text("url", url);
    let token_file = s.path("token_file");
    let ca = s.path("tls_ca");
    let command = s.list("command", nonempty).unwrap_or_default();
    let bucket = s.text("bucket", nonempty);
    let prefix = s.text("prefix", nonempty).unwrap_or_default();
    let region = s.text("region", nonempty);
    let endpoint_url = s.text("endpoint_url", url);
    let locks = [
        ("off", None),
        ("governance", Some(Lock::Governance)),
        ("compliance", Some(Lock::Compliance)),
    ];
    let lock = s.choice("lock", locks);
    let lock_time = s.duration("lock_time");
    let made = match kind {
        Kind::Stdout => Some(SinkKind::Stdout),
        Kind::File => path.map(SinkKind::File),
        Kind::Syslog => address.map(|address| SinkKind::Syslog { address, ca }),
        Kind::Otlp => url_of.map(|url| SinkKind::Otlp {
            url,
            token_file,
            ca,
        }),
        Kind::Command => (!command.is_empty()).then_some(SinkKind::Command(command)),
        Kind::S3 => bucket.map(|bucket| SinkKind::S3 {
            bucket,
            prefix,
            region,
            endpoint_url,
            lock: lock.map(|lock| (lock, lock_time)),
        }),
    };
    if made.is_none() {
        let needed = KINDS.iter().find(|(_, k, _)| *k == kind);
        let needed = needed.and_then(|(_, _, keys)| keys.first()).unwrap_or(&"");
        s.wrong(format!("a sink of kind {word:?} needs {needed}"));
    }
    made
}

/// A name is part of the name of a file.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no name of a sink; write letters, digits, \"-\" and \"_\""
        )),
    }
}
