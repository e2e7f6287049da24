//! A SELECT of values that need no table, as drivers begin with.

use super::driver::Reply;
use super::driver_settings::{SERVER_VERSION, value_of};
use super::table::{Cell, Kind};
use super::words::Word;

/// A SELECT of values that need no table.
pub fn select(rest: &[Word]) -> Option<Reply> {
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
    use crate::admin::console::driver_settings::SERVER_VERSION;
    use crate::admin::console::words::statements;

    fn reply(text: &str) -> Option<Reply> {
        let statement = statements(text).expect("statements").remove(0);
        let (first, rest) = statement.words.split_first()?;
        assert!(first.is("SELECT"), "{text}");
        select(rest)
    }

    #[test]
    fn values_without_a_table() {
        let cells = |text| reply(text).expect("understood").row;
        assert_eq!(cells("SELECT 1"), [Cell::Number(1)]);
        assert_eq!(cells("select 'a' as x, 2::int4"), ["a".into(), 2.into()]);
        assert_eq!(
            reply("select 'a' as x").expect("understood").columns[0].0,
            "x"
        );
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
            assert!(reply(text).is_none(), "{text}");
        }
    }
}
