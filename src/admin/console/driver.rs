//! What drivers and programs send by themselves, before anybody asks for anything: settings,
//! transactions, `SELECT version()`. The console goes along with it, so that every client of
//! Postgres can use it.

use super::command::Command;
use super::table::{Cell, Column, Kind, Row};
use super::words::Word;

/// The version of Postgres whose protocol and manners the console has.
pub const SERVER_VERSION: &str = concat!("14.0 (pgvalet ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that clients make and look at, with the values that hold in the console.
const SETTINGS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("names", "UTF8"),
    ("row_security", "on"),
    ("search_path", ""),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "140000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

/// Values that clients are told at their login.
pub const REPORTED: [&str; 9] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "datestyle",
    "integer_datetimes",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
    "in_hot_standby",
];

/// Names as ParameterStatus writes them.
pub fn spelling(name: &str) -> &str {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        other => other,
    }
}

pub fn value_of(setting: &str) -> Option<&'static str> {
    let found = SETTINGS
        .iter()
        .find(|(name, _)| setting.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}

/// The answer to something that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub tag: &'static str,
    pub columns: Vec<(String, Kind)>,
    pub row: Row,
}

impl Reply {
    fn tag(tag: &'static str) -> Self {
        Self {
            tag,
            columns: Vec::new(),
            row: Vec::new(),
        }
    }

    pub fn columns(&self) -> Vec<Column> {
        let columns = self.columns.iter().cloned();
        let column = |(name, kind): (String, Kind)| Column {
            name: name.into(),
            kind,
        };
        columns.map(column).collect()
    }
}

/// `SHOW name` of a setting.
pub fn setting(name: &str) -> Option<Reply> {
    let value = value_of(name)?;
    Some(Reply {
        tag: "SHOW",
        columns: vec![(name.to_ascii_lowercase(), Kind::Text)],
        row: vec![value.into()],
    })
}

/// Understands a statement of a driver; `None`: it is none.
pub fn understand(first: &Word, rest: &[Word]) -> Option<Command> {
    let word = first.value()?.to_ascii_uppercase();
    let reply = |tag| Some(Command::Driver(Reply::tag(tag)));
    let transaction = |begins, tag| Some(Command::Transaction { begins, tag });
    match word.as_str() {
        "BEGIN" => transaction(true, "BEGIN"),
        "START" => transaction(true, "START TRANSACTION"),
        "COMMIT" | "END" => transaction(false, "COMMIT"),
        "ROLLBACK" | "ABORT" => transaction(false, "ROLLBACK"),
        "RESET" => reply("RESET"),
        "DISCARD" => Some(Command::Deallocate {
            name: None,
            tag: "DISCARD ALL",
        }),
        "DEALLOCATE" => deallocate(rest),
        "UNLISTEN" => reply("UNLISTEN"),
        "CLOSE" => reply("CLOSE CURSOR"),
        "SET" => is_set(rest).then(|| Command::Driver(Reply::tag("SET"))),
        "SHOW" if spells(rest, &["TRANSACTION", "ISOLATION", "LEVEL"]) => {
            setting("transaction_isolation").map(Command::Driver)
        }
        "SELECT" => select(rest).map(Command::Driver),
        _ => None,
    }
}

fn spells(words: &[Word], expected: &[&str]) -> bool {
    let same = |(word, expected): (&Word, &&str)| word.is(expected);
    words.len() == expected.len() && words.iter().zip(expected).all(same)
}

fn deallocate(rest: &[Word]) -> Option<Command> {
    let rest = match rest {
        [prepare, rest @ ..] if prepare.is("PREPARE") && !rest.is_empty() => rest,
        rest => rest,
    };
    let [name] = rest else { return None };
    let all = name.is("ALL");
    Some(Command::Deallocate {
        name: (!all).then(|| name.value().unwrap_or_default().to_owned()),
        tag: if all { "DEALLOCATE ALL" } else { "DEALLOCATE" },
    })
}

/// Whether SET is about a setting of Postgres.
fn is_set(rest: &[Word]) -> bool {
    let rest = match rest {
        [scope, rest @ ..] if scope.is("SESSION") || scope.is("LOCAL") => rest,
        rest => rest,
    };
    match rest {
        [what, ..] if what.is("CHARACTERISTICS") || what.is("TRANSACTION") => true,
        [time, zone, ..] if time.is("TIME") && zone.is("ZONE") => true,
        [name, ..] => name.value().is_some_and(|name| value_of(name).is_some()),
        [] => false,
    }
}

/// A SELECT of values that need no table.
fn select(rest: &[Word]) -> Option<Reply> {
    // `SELECT set_config(…) FROM pg_settings WHERE …`, as some programs ask for it.
    let from = rest.iter().position(|word| word.is("FROM"));
    let list = &rest[..from.unwrap_or(rest.len())];
    let mut reply = Reply::tag("SELECT 1");
    for item in items(list) {
        let (name, kind, value) = value(item)?;
        if from.is_some() && name != "set_config" {
            return None;
        }
        reply.columns.push((name, kind));
        reply.row.push(value);
    }
    (!reply.row.is_empty()).then_some(reply)
}

/// The elements of a list, at whose commas it is split.
fn items(list: &[Word]) -> Vec<&[Word]> {
    let (mut items, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, word) in list.iter().enumerate() {
        match word {
            Word::Sign('(') => depth += 1,
            Word::Sign(')') => depth = depth.saturating_sub(1),
            Word::Sign(',') if depth == 0 => {
                items.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[begin..]);
    items
}

/// One element: its name, its type, its value.
fn value(item: &[Word]) -> Option<(String, Kind, Cell)> {
    let (first, rest) = item.split_first()?;
    let (arguments, rest) = arguments(rest)?;
    let (name, kind, value) = match (first, arguments) {
        (Word::Text(text), None) => ("?column?", Kind::Text, text.as_str().into()),
        (Word::Plain(plain), arguments) => plain_value(plain, arguments)?,
        _ => return None,
    };
    let rest = match rest {
        [cast, rest @ ..] if cast.value().is_some_and(|c| c.starts_with("::")) => rest,
        rest => rest,
    };
    let name = match rest {
        [] => name,
        [name] if name.value().is_some() => name.value()?,
        [word, name] if word.is("AS") => name.value()?,
        _ => return None,
    };
    Some((name.to_owned(), kind, value))
}

/// What stands in the parentheses behind a name, if they are there; and what follows.
fn arguments(rest: &[Word]) -> Option<(Option<&[Word]>, &[Word])> {
    if rest.first() != Some(&Word::Sign('(')) {
        return Some((None, rest));
    }
    let end = rest.iter().position(|word| word.is_sign(')'))?;
    Some((Some(&rest[1..end]), &rest[end + 1..]))
}

fn plain_value(plain: &str, arguments: Option<&[Word]>) -> Option<(&'static str, Kind, Cell)> {
    let plain = plain.split("::").next().unwrap_or(plain);
    let name = plain.to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    if arguments.is_none()
        && let Ok(number) = name.parse::<i32>()
    {
        return Some(("?column?", Kind::Int4, number.into()));
    }
    let text = |name, value: &str| Some((name, Kind::Text, value.into()));
    let argument = arguments.and_then(|a| a.first()).and_then(Word::value);
    match (name, arguments.is_some()) {
        ("version", true) => {
            let version = format!("PostgreSQL {SERVER_VERSION}");
            text("version", &version)
        }
        ("current_database" | "current_catalog", _) => text("current_database", "pgvalet"),
        ("current_schema", _) => text("current_schema", "public"),
        ("current_user" | "user", false) => text("current_user", "pgvalet"),
        ("session_user", false) => text("session_user", "pgvalet"),
        ("pg_is_in_recovery", true) => text("pg_is_in_recovery", "f"),
        ("pg_advisory_unlock_all", true) => {
            Some(("pg_advisory_unlock_all", Kind::Text, Cell::Null))
        }
        ("current_setting", true) => text("current_setting", value_of(argument?)?),
        ("set_config", true) => {
            let value = arguments?.get(2).and_then(Word::value);
            value_of(argument?).and_then(|_| text("set_config", value.unwrap_or_default()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::console::words::statements;

    fn understood(text: &str) -> Option<Command> {
        let statement = statements(text).expect("statements").remove(0);
        let (first, rest) = statement.words.split_first()?;
        understand(first, rest)
    }

    fn reply(text: &str) -> Reply {
        match understood(text) {
            Some(Command::Driver(reply)) => reply,
            _ => panic!("{text} is not understood"),
        }
    }

    #[test]
    fn what_drivers_begin_with() {
        for text in [
            "SET extra_float_digits = 3",
            "SET application_name = 'PostgreSQL JDBC Driver'",
            "set session characteristics as transaction isolation level read committed",
            "SET DateStyle=ISO",
            "SET client_encoding='utf-8'",
            "set time zone 'UTC'",
            "SET LOCAL statement_timeout TO 0",
        ] {
            assert_eq!(reply(text), Reply::tag("SET"), "{text}");
        }
        assert!(understood("SET wait_notice = '1s'").is_none());
    }

    #[test]
    fn values_without_a_table() {
        let cells = |text| reply(text).row;
        assert_eq!(cells("SELECT 1"), [Cell::Number(1)]);
        assert_eq!(cells("select 'a' as x, 2::int4"), ["a".into(), 2.into()]);
        assert_eq!(reply("select 'a' as x").columns[0].0, "x");
        let version = cells("SELECT pg_catalog.version()::text AS v");
        assert_eq!(version, [format!("PostgreSQL {SERVER_VERSION}").into()]);
        let config = "SELECT set_config('bytea_output','hex',false) FROM pg_settings WHERE name = 'bytea_output'";
        assert_eq!(cells(config), ["hex".into()]);
        for text in [
            "SELECT",
            "SELECT * FROM pg_class",
            "SELECT 1 FROM t",
            "SELECT f(1)",
            "SELECT ,",
            "SELECT (",
            "SELECT 1 2 3",
        ] {
            assert!(understood(text).is_none(), "{text}");
        }
    }
}
