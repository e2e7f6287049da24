//! Known differences between the answers of pgvalet and of Postgres, and their
//! reasons.

use std::collections::BTreeSet;

use super::run::{Difference, MODES};

const TRANSACTION: &[&str] = &["transaction"];
const BOTH: &[&str] = &MODES;

/// The cause of a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Every run shows it.
    Always,
    /// Depends on which server connection a batch meets, or on how much of a pipeline
    /// has been read when an error arrives.
    Sometimes,
    /// The version of Postgres.
    Before18,
    Since18,
}

const ALWAYS: Shown = Shown::Always;
const SOMETIMES: Shown = Shown::Sometimes;
const BEFORE_18: Shown = Shown::Before18;
const SINCE_18: Shown = Shown::Since18;

impl Shown {
    /// Whether it has to turn up with these versions.
    fn by(self, majors: &[u32]) -> bool {
        match self {
            Self::Always => true,
            Self::Sometimes => false,
            Self::Before18 => majors.iter().any(|m| *m < 18),
            Self::Since18 => majors.iter().any(|m| *m >= 18),
        }
    }
}

const VIOLATION: &str = "a session that breaks the protocol ends at once, without the answers \
     under way; a wrong length is answered with an error, while Postgres only closes the \
     connection";
const TAIL: &str = "extra bytes at the end of a message are not noticed if pgvalet writes the \
     message anew or does not need to send it";
const NAMES: &str = "on the server, statements have names that pgvalet gave them: SQL (PREPARE, \
     EXECUTE, pg_prepared_statements, DEALLOCATE beside other statements) and a few error texts \
     show those names, and a client's names are not cut at 63 bytes";
const GUESS: &str = "batches sent behind a batch that fails are translated before pgvalet knows \
     that it failed";
const SHARED: &str = "plans, sequences and unnamed statements belong to a server connection, \
     and the next transaction may run on another one";
const UNNAMED: &str = "a message about the unnamed statement counts as carried out, although \
     the server skipped it after an error";
const LARGE: &str = "an unnamed statement of more than 1 MiB is not remembered beyond its \
     transaction";
const NAMELESS: &str = "pgvalet sends its own application_name if the client sends none";
const RESET: &str = "after a RESET, pgvalet sets what the client brought at start-up again, \
     with SET, before the client's next query: the rest of the same query or batch sees the \
     login's value";
const VERSION: &str = "pgvalet speaks protocol 3.2 with clients, whatever server is behind it; \
     Postgres does so from 18 on";
const NO_3_1: &str = "there is no protocol 3.1: pgvalet tells a client that asks for it 3.0, as \
     Postgres before 18 does; Postgres 18 says nothing";
const OPTIONS: &str = "pgvalet reads `options` itself, and its error texts differ from those of \
     Postgres";
const TERMINATED: &str = "a client that has sent Terminate gets no further message";

/// Sequence, modes, what shows it, reason.
#[rustfmt::skip]
const DIFFERENCES: &[(&str, &[&str], Shown, &str)] = &[
    ("Close with a tail", TRANSACTION, ALWAYS, TAIL),
    ("Describe with a tail", TRANSACTION, ALWAYS, TAIL),
    ("Flush with a body", BOTH, ALWAYS, TAIL),
    ("a server's message type", BOTH, ALWAYS, VIOLATION),
    ("custom setting", TRANSACTION, SOMETIMES, SHARED),
    ("deallocate all", TRANSACTION, SOMETIMES, GUESS),
    ("deallocate all, extended", TRANSACTION, SOMETIMES, GUESS),
    ("deallocate all, steps", TRANSACTION, SOMETIMES, GUESS),
    ("deallocate in a failed transaction", TRANSACTION, SOMETIMES, SHARED),
    ("deallocate of one parsed, beside others", TRANSACTION, ALWAYS, NAMES),
    ("error and close", TRANSACTION, SOMETIMES, GUESS),
    ("error and parse", TRANSACTION, SOMETIMES, GUESS),
    ("error in every third batch", TRANSACTION, SOMETIMES, SHARED),
    ("execute by SQL of one parsed", TRANSACTION, ALWAYS, NAMES),
    ("known text in a failed transaction", TRANSACTION, SOMETIMES, GUESS),
    ("length huge", BOTH, ALWAYS, VIOLATION),
    ("length negative", BOTH, ALWAYS, VIOLATION),
    ("length negative in a transaction", BOTH, ALWAYS, VIOLATION),
    ("length three", BOTH, ALWAYS, VIOLATION),
    ("length too large for a Sync", BOTH, ALWAYS, VIOLATION),
    ("length zero", BOTH, ALWAYS, VIOLATION),
    ("long name", TRANSACTION, ALWAYS, NAMES),
    ("message type zero", BOTH, ALWAYS, VIOLATION),
    ("parse in a failed transaction", TRANSACTION, SOMETIMES, GUESS),
    ("parse known names while failing", TRANSACTION, SOMETIMES, GUESS),
    ("parse of a name prepared by SQL", TRANSACTION, ALWAYS, NAMES),
    ("password out of place", BOTH, ALWAYS, VIOLATION),
    ("pg_prepared_statements", TRANSACTION, ALWAYS, NAMES),
    ("plan outdated", TRANSACTION, SOMETIMES, SHARED),
    ("prepare by SQL of a name parsed", TRANSACTION, ALWAYS, NAMES),
    ("sequence", TRANSACTION, SOMETIMES, SHARED),
    ("start: no application_name", BOTH, ALWAYS, NAMELESS),
    ("start: options without a value", BOTH, ALWAYS, OPTIONS),
    ("start: options, unknown switch", BOTH, ALWAYS, OPTIONS),
    ("start: protocol 3.1", BOTH, SINCE_18, NO_3_1),
    ("start: protocol 3.2", BOTH, BEFORE_18, VERSION),
    ("start: protocol 3.2 and an option", BOTH, BEFORE_18, VERSION),
    ("start: protocol 3.9", BOTH, BEFORE_18, VERSION),
    ("start: protocol 4.0", BOTH, BEFORE_18, VERSION),
    ("start: reset and show in one batch", BOTH, ALWAYS, RESET),
    ("start: reset and show in one query", BOTH, ALWAYS, RESET),
    ("start: reset before a savepoint", BOTH, ALWAYS, RESET),
    ("statement of a dropped table", TRANSACTION, SOMETIMES, SHARED),
    ("terminate after an error", BOTH, SOMETIMES, TERMINATED),
    ("terminate in copy data", BOTH, ALWAYS, TERMINATED),
    ("unknown message in a batch", BOTH, ALWAYS, VIOLATION),
    ("unknown message in a transaction", BOTH, ALWAYS, VIOLATION),
    ("unknown message in copy data", BOTH, ALWAYS, VIOLATION),
    ("unknown message type", BOTH, ALWAYS, VIOLATION),
    ("unknown message while passing over", BOTH, ALWAYS, VIOLATION),
    ("unnamed, after deallocate all by name", TRANSACTION, SOMETIMES, SHARED),
    ("unnamed, in a failed transaction", TRANSACTION, SOMETIMES, UNNAMED),
    ("unnamed, kept when a Close is passed over", TRANSACTION, SOMETIMES, UNNAMED),
    ("unnamed, kept when a Parse is passed over", TRANSACTION, SOMETIMES, UNNAMED),
    ("unnamed, kept when a Query is passed over", TRANSACTION, SOMETIMES, UNNAMED),
    ("unnamed, kept when a wrong Parse is passed over", TRANSACTION, SOMETIMES, UNNAMED),
    ("unnamed, large", TRANSACTION, SOMETIMES, LARGE),
];

/// The list as it stands in the documentation: a line a reason.
pub fn table() -> String {
    let mut reasons: Vec<&str> = DIFFERENCES.iter().map(|(.., reason)| *reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut table = "| difference | pool modes | shown by |\n|---|---|---|\n".to_owned();
    for reason in reasons {
        let such = || DIFFERENCES.iter().filter(|(.., r)| *r == reason);
        let modes: BTreeSet<&str> = such()
            .flat_map(|(_, modes, ..)| modes.iter().copied())
            .collect();
        let modes: Vec<&str> = modes.into_iter().collect();
        let cases: Vec<String> = such()
            .map(|(case, _, shown, _)| {
                let sometimes = *shown == SOMETIMES;
                format!("{case}{}", if sometimes { " (sometimes)" } else { "" })
            })
            .collect();
        let (modes, cases) = (modes.join(", "), cases.join("; "));
        table.push_str(&format!("| {reason} | {modes} | {cases} |\n"));
    }
    table
}

pub fn judge(names: &BTreeSet<&str>, majors: &[u32], found: &[Difference]) {
    let mut complaints = Vec::new();
    for difference in found {
        let known = DIFFERENCES.iter().any(|(case, modes, _, _)| {
            *case == difference.case && modes.contains(&difference.mode)
        });
        if !known {
            let Difference { case, mode, what } = difference;
            complaints.push(format!("{case}, {mode} mode, {what}"));
        }
    }
    for (case, modes, shown, reason) in DIFFERENCES {
        assert!(names.contains(case), "no sequence is called {case}");
        for mode in *modes {
            assert!(MODES.contains(mode), "{case}: no mode is called {mode}");
            if shown.by(majors) && !found.iter().any(|d| d.case == *case && d.mode == *mode) {
                complaints.push(format!("{case}, {mode} mode: no longer true: {reason}"));
            }
        }
    }
    complaints.sort();
    assert!(
        complaints.is_empty(),
        "{} differences\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
