//! The page of `audit compliance`: what it has, and as text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::audit::{Gap, Identified, Rotated, VersionUse, printable};
use crate::cli::audit::report::seconds;
use crate::cli::table;
use crate::cli::words::count;

#[derive(Serialize)]
pub(super) struct Page {
    pub since: String,
    pub until: String,
    /// The newest version of each secret.
    pub credentials: Vec<Credential>,
    pub rotations: Vec<Rotated>,
    pub clients: BTreeMap<String, Identified>,
    /// Versions that sessions still hold although there are newer ones.
    pub old_in_use: Vec<VersionUse>,
    /// Denials by their reason.
    pub denials: BTreeMap<String, u64>,
    pub gaps: Vec<Gap>,
    pub log: Log,
}

#[derive(Serialize)]
pub(super) struct Credential {
    pub secret: String,
    pub version: String,
    /// The Postgres user.
    pub user: String,
    pub adopted: String,
    pub age_days: Option<i64>,
    /// When the schedule of the configuration has it rotated at the latest.
    pub due: Option<String>,
    pub overdue: bool,
    /// When a rotation of it ended last, in the time of the page.
    pub rotated: Option<String>,
    pub clients: Vec<String>,
}

/// The state of the log itself.
#[derive(Serialize)]
pub(super) struct Log {
    pub records: u64,
    /// The last record that a checkpoint signs.
    pub signed: u64,
    /// When the first record was written.
    pub first: Option<String>,
    pub key: Option<String>,
    pub whole: bool,
    pub broken: Option<String>,
    pub notes: Vec<String>,
    /// How long closed files are kept; `None`: for ever.
    pub kept_days: Option<u64>,
}

/// A part of the page: its title, what it answers, and its lines.
pub(super) struct Part {
    pub title: &'static str,
    pub answers: &'static str,
    pub lines: Vec<String>,
    /// What is said where there is no line.
    pub none: &'static str,
}

impl Page {
    pub fn title(&self) -> String {
        format!(
            "pgvalet: database credentials, {} to {}",
            seconds(&self.since),
            seconds(&self.until)
        )
    }

    pub fn parts(&self) -> Vec<Part> {
        vec![
            Part {
                title: "Credentials and their age",
                answers: "PCI DSS 8.3.9, 8.6.3; SOC 2 CC6.1",
                lines: self.credentials.iter().map(Credential::line).collect(),
                none: "The log tells of no version that was adopted.",
            },
            Part {
                title: "Rotations",
                answers: "PCI DSS 8.3.9, 8.6.3",
                lines: self.rotated(false),
                none: "None in this time.",
            },
            Part {
                title: "Emergency rotations",
                answers: "PCI DSS 8.6.3 (on suspicion of compromise); SOC 2 CC7.2",
                lines: self.rotated(true),
                none: "None in this time.",
            },
            Part {
                title: "Old versions that are still in use",
                answers: "PCI DSS 8.6.3; SOC 2 CC6.1",
                lines: self.old_in_use.iter().flat_map(old).collect(),
                none: "None.",
            },
            Part {
                title: "Clients, which have no password",
                answers: "PCI DSS 8.6.2; SOC 2 CC6.1",
                lines: self
                    .clients
                    .iter()
                    .map(|(name, seen)| client(name, seen))
                    .collect(),
                none: "None in this time.",
            },
            Part {
                title: "Denials",
                answers: "PCI DSS 10.2; SOC 2 CC7.2",
                lines: self
                    .denials
                    .iter()
                    .map(|(why, n)| format!("{}: {n}", printable(why)))
                    .collect(),
                none: "None in this time.",
            },
            Part {
                title: "Gaps in the log",
                answers: "PCI DSS 10.2, 10.3; SOC 2 CC7.2",
                lines: self
                    .gaps
                    .iter()
                    .map(|g| format!("{}: {}", seconds(&g.time), printable(&g.why)))
                    .collect(),
                none: "None in this time.",
            },
            Part {
                title: "The log itself",
                answers: "PCI DSS 10.3 (protection), 10.5 (retention)",
                lines: self.log.lines(),
                none: "",
            },
        ]
    }

    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.title())?;
        for part in self.parts() {
            writeln!(out, "\n{} ({})", part.title, part.answers)?;
            if part.lines.is_empty() {
                writeln!(out, "  {}", part.none)?;
            }
            for line in part.lines {
                table::paragraph(out, "  ", &line)?;
            }
        }
        Ok(())
    }

    fn rotated(&self, emergency: bool) -> Vec<String> {
        let rotations = self.rotations.iter().filter(|r| r.emergency == emergency);
        rotations.map(rotation).collect()
    }
}

impl Credential {
    fn line(&self) -> String {
        let age = match self.age_days {
            Some(days) => format!(
                "{} old (adopted {})",
                count(days, "day"),
                seconds(&self.adopted)
            ),
            None => "of unknown age".to_owned(),
        };
        let due = match (&self.due, self.overdue) {
            (None, _) => "no schedule in the configuration".to_owned(),
            (Some(due), false) => format!("due {}", seconds(due)),
            (Some(due), true) => format!("OVERDUE since {}", seconds(due)),
        };
        let rotated = match &self.rotated {
            Some(time) => format!("last rotation {}", seconds(time)),
            None => "not rotated by pgvalet in this time".to_owned(),
        };
        let clients = match self.clients.len() {
            0 => "used by no client".to_owned(),
            _ => format!("used by {}", self.clients.join(", ")),
        };
        printable(&format!(
            "{} version {}, user {}: {age}; {due}; {rotated}; {clients}",
            self.secret, self.version, self.user
        ))
    }
}

fn rotation(r: &Rotated) -> String {
    let old = match r.old_password.as_str() {
        "" => "nothing shows that the old password is dead".to_owned(),
        proof => proof.to_owned(),
    };
    let terminated = match r.terminated.is_empty() {
        true => String::new(),
        false => format!(
            "; sessions of the old password: {}",
            r.terminated.join(", ")
        ),
    };
    let detail = match r.outcome.as_str() {
        "success" => String::new(),
        _ => format!(" ({})", r.detail),
    };
    printable(&format!(
        "{} {}, user {}, version {}: {}{detail}; {old}{terminated}",
        seconds(&r.began),
        r.secret,
        r.user,
        r.version,
        r.outcome
    ))
}

fn old(version: &VersionUse) -> Vec<String> {
    let of = |held: &crate::audit::Held| {
        printable(&format!(
            "{} version {}: {} from {}, session {} since {}",
            version.secret,
            version.version,
            held.client,
            held.source,
            held.session,
            seconds(&held.since)
        ))
    };
    version.held.iter().map(of).collect()
}

fn client(name: &str, seen: &Identified) -> String {
    let methods: Vec<_> = seen
        .methods
        .iter()
        .map(|(m, n)| format!("{m} {n}"))
        .collect();
    printable(&format!(
        "{name}: {}, recognised by {}; last {}",
        count(seen.sessions, "session"),
        methods.join(", "),
        seconds(&seen.last)
    ))
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let first = self.first.as_deref().map(seconds).unwrap_or_default();
        lines.push(match &self.broken {
            None => format!(
                "{} are as they were written, the first of {first}; signed up to {}",
                count(self.records, "record"),
                self.signed
            ),
            Some(broken) => format!("BROKEN: {}", printable(broken)),
        });
        lines.extend(
            self.notes
                .iter()
                .map(|note| format!("note: {}", printable(note))),
        );
        lines.push(match &self.key {
            Some(key) => {
                format!("signed with {key}; compare it with the one that is kept elsewhere")
            }
            None => "there is no public key".to_owned(),
        });
        lines.push(match self.kept_days {
            Some(days) if days < 365 => format!(
                "closed files are kept for {}, which is LESS than the 12 months of PCI DSS 10.5.1",
                count(days, "day")
            ),
            Some(days) => format!("closed files are kept for {}", count(days, "day")),
            None => "closed files are kept for ever".to_owned(),
        });
        lines
    }
}
