//! The keys of `[audit]` and `[[audit.sink]]`.

use super::Default::{Absent, Required, Value};
use super::Effect::Restart;
use super::Kind::{Array, Boolean, List, Text, Words};
use super::{FILE, Key, NONE, SECONDS, Table};

pub(super) static AUDIT: Table = Table {
    title: "[audit]",
    about: "Who used which version of which secret, and who was denied.",
    keys: &[
        Key::new(
            "path",
            Text("file, or `stdout`"),
            Value(r#""data/audit.jsonl""#),
            Restart,
            "Where the records go, one JSON object a line. Commands write to files beside it.",
        ),
        Key::new(
            "on_failure",
            Words(&["deny", "continue"]),
            Value(r#""deny""#),
            Restart,
            "What happens when a record cannot be written: no session without a record, or sessions go on.",
        ),
        Key::new(
            "summary",
            SECONDS,
            Value(r#""15m""#),
            Restart,
            "How often the log says what each session has done with each version: leases, transactions, bytes, times, server processes. The end of a session says the rest.",
        ),
        Key::new(
            "leases",
            Boolean,
            Value("false"),
            Restart,
            "Whether each lease of a server connection has a record.",
        ),
        Key::new(
            "checkpoint",
            SECONDS,
            Value(r#""10s""#),
            Restart,
            "How often the log is signed ([AUDIT.md](AUDIT.md)). What was not signed yet could be changed without a trace; 4096 records are signed without waiting.",
        ),
        Key::new(
            "rotate_size",
            Text("size"),
            Value(r#""256MiB""#),
            Restart,
            "A file of this size is closed and compressed, and the log goes on in a new one.",
        ),
        Key::new(
            "rotate_age",
            SECONDS,
            Value(r#""24h""#),
            Restart,
            "A file of this age is closed and compressed, too.",
        ),
        Key::new(
            "keep",
            Text("duration, or `forever`"),
            Value(r#""400 days""#),
            Restart,
            "A closed file is removed when its last record has this age. A record says which records were removed.",
        ),
        Key::new(
            "sink",
            Array(&SINK),
            Absent("the records stay here"),
            Restart,
            "Other places that get the records, or the checkpoints: any number of `[[audit.sink]]`.",
        )
        .like(r#"[{ kind = "syslog", address = "unix:/dev/log" }]"#),
    ],
    elsewhere: &[],
};

pub(super) static SINK: Table = Table {
    title: "[[audit.sink]]",
    about: "\
Another place that gets the records ([AUDIT.md](AUDIT.md)). A sink that does not take them holds up nobody: they wait in the \
files of the log, over restarts as well, and no file is removed that a sink has not taken. A record may be sent twice.",
    keys: &[
        Key::new(
            "kind",
            Words(&["file", "stdout", "syslog", "otlp", "command", "s3"]),
            Required, Restart,
            "A file or pipe; standard output; a syslog server (RFC 5424); an OpenTelemetry collector (OTLP over HTTP, in JSON); a program that reads lines; a bucket of S3.",
        ),
        Key::new(
            "name",
            Text("letters, digits, `-` and `_`"),
            Absent("the kind"), Restart,
            "The name of the sink in metrics, and of the file that says how far the sink is. Two sinks of one kind need a name each.",
        )
        .like(r#""siem""#),
        Key::new(
            "what",
            Words(&["records", "checkpoints", "all"]),
            Value(r#""all""#), Restart,
            "What the sink gets. Checkpoints alone are enough to see later that a log is not the one that was signed.",
        ),
        Key::new(
            "format",
            Words(&["pgvalet", "ocsf"]),
            Value(r#""pgvalet""#), Restart,
            "The line of the log, or an event of the Open Cybersecurity Schema Framework.",
        ),
        Key::new(
            "interval",
            NONE,
            Absent("`1s`; `60s` for `s3`"), Restart,
            "How long records are gathered before they are sent together.",
        )
        .like(r#""10s""#),
        Key::new(
            "path",
            FILE,
            Absent("required for `file`"), Restart,
            "`file` only: what is appended to. Others may rotate it.",
        )
        .like(r#""/mnt/worm/audit.jsonl""#),
        Key::new(
            "address",
            Text("`unix:/path`, `udp://host:port`, `tcp://host:port` or `tls://host:port`"),
            Absent("required for `syslog`"), Restart,
            "`syslog` only: the server. TCP and TLS count octets (RFC 6587, RFC 5425).",
        )
        .like(r#""tls://logs.example.com:6514""#),
        Key::new(
            "url",
            Text("URL"),
            Absent("required for `otlp`"), Restart,
            "`otlp` only: where logs are posted.",
        )
        .like(r#""https://collector.example.com:4318/v1/logs""#),
        Key::new(
            "token_file",
            FILE,
            Absent("no token"), Restart,
            "`otlp` only: the file of a bearer token, which is read for each request.",
        )
        .like(r#""otlp.token""#),
        Key::new(
            "tls_ca",
            FILE,
            Absent("the authorities of the system"), Restart,
            "`syslog` and `otlp` only: the authorities of the server's certificate, PEM.",
        )
        .like(r#""ca.crt""#),
        Key::new(
            "command",
            List("program and arguments"),
            Absent("required for `command`"), Restart,
            "`command` only: a program that reads records from its standard input, a line each. It is started again if it ends.",
        )
        .like(r#"["/usr/local/bin/ship", "--to", "siem"]"#),
        Key::new(
            "bucket",
            Text("bucket"),
            Absent("required for `s3`"), Restart,
            "`s3` only: the bucket. Each object has the records that were gathered, a line each; its name has their numbers.",
        )
        .like(r#""audit-logs""#),
        Key::new(
            "prefix",
            Text("text"),
            Absent("empty"), Restart,
            "`s3` only: what names of objects begin with.",
        )
        .like(r#""pgvalet/db1/""#),
        Key::new(
            "region",
            Text("region"),
            Absent("as the AWS SDK finds it"), Restart,
            "`s3` only: the region of the bucket.",
        )
        .like(r#""eu-west-1""#),
        Key::new(
            "endpoint_url",
            Text("URL"),
            Absent("that of AWS"), Restart,
            "`s3` only: another store with the interface of S3.",
        )
        .like(r#""https://minio.example.com""#),
        Key::new(
            "lock",
            Words(&["off", "governance", "compliance"]),
            Value(r#""off""#), Restart,
            "`s3` only: the mode of the object lock. The bucket has to be made with object lock.",
        ),
        Key::new(
            "lock_time",
            SECONDS,
            Value(r#""365 days""#), Restart,
            "`s3` only: how long an object is locked.",
        ),
    ],
    elsewhere: &[],
};
