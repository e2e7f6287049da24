//! What drivers and programs send by themselves, before anybody asks for anything: settings,
//! transactions, `SELECT version()`. The console goes along with it, so that every client of
//! Postgres can use it.

use super::command::Command;
use super::driver_select::select;
use super::driver_settings::value_of;
use super::table::{Column, Kind, Row};
use super::words::Word;

/// The answer to something that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub tag: &'static str,
    pub columns: Vec<(String, Kind)>,
    pub row: Row,
}

impl Reply {
    pub fn tag(tag: &'static str) -> Self {
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
}
