//! `SHOW <word> <name>`: the rows that have a name in one of their columns.

use super::extended::Refused;
use super::show::{Show, World};
use super::table::{Cell, Row};
use crate::audit::Event;
use crate::base::nearest;

/// Leaves the rows that have this name.
///
/// # Errors
/// There is none, and nothing is called so that could have one: the name is misspelt.
pub fn only(world: &World, show: &Show, rows: Vec<Row>, name: &str) -> Result<Vec<Row>, Refused> {
    let found: Vec<Row> = rows.iter().filter(|row| has(row, name)).cloned().collect();
    // A key of the configuration may be named without its table.
    let of_key = || -> Vec<Row> {
        let dotted = format!(".{name}");
        let is_one = |row: &&Row| text(row.first()).is_some_and(|key| key.ends_with(&dotted));
        rows.iter().filter(is_one).cloned().collect()
    };
    match (found.is_empty(), show.word) {
        (false, _) => return Ok(found),
        (true, "CONFIG") => {
            let found = of_key();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        // Nothing has happened that is called so.
        (true, "AUDIT") if Event::named(name).is_some() => return Ok(found),
        (true, _) if names(world).iter().any(|known| known == name) => return Ok(found),
        (true, _) => {}
    }
    let cells = rows.iter().flatten().filter_map(|cell| text(Some(cell)));
    let cells = cells.map(str::to_owned);
    let known: Vec<String> = match show.word {
        "CONFIG" => keys(&rows),
        "AUDIT" => cells.chain(names(world)).chain(Event::names()).collect(),
        _ => cells.chain(names(world)).collect(),
    };
    let near = nearest(name, known.iter().map(String::as_str));
    let mut refused = Refused::new(
        "42704",
        format!("SHOW {} has nothing called {name:?}", show.word),
    );
    refused.hint = Some(match near {
        Some(near) => format!("Did you mean {near}?"),
        None => format!("SHOW {} without a name has all rows.", show.word),
    });
    Err(refused)
}

fn has(row: &[Cell], name: &str) -> bool {
    row.iter().any(|cell| match cell {
        Cell::Null => false,
        Cell::Text(text) => **text == *name,
        Cell::Number(n) => name.parse().is_ok_and(|named: i64| named == *n),
    })
}

fn text(cell: Option<&Cell>) -> Option<&str> {
    match cell {
        Some(Cell::Text(text)) => Some(text),
        _ => None,
    }
}

/// The keys of the configuration, with their tables and without.
fn keys(rows: &[Row]) -> Vec<String> {
    let keys = rows.iter().filter_map(|row| text(row.first()));
    keys.flat_map(|key| {
        let last = key.rsplit('.').next().unwrap_or(key);
        [key.to_owned(), last.to_owned()]
    })
    .collect()
}

/// What there is that a row may name, at another time: databases, secrets, rules, and the users
/// that clients ask for.
fn names(world: &World) -> Vec<String> {
    let context = world.proxy.context();
    let pools = world.proxy.pools();
    let mut names: Vec<String> = pools
        .iter()
        .flat_map(|pool| [pool.name.to_string(), pool.secret.to_string()])
        .collect();
    let routes = context.routes.load();
    for rule in routes.policy.rules() {
        names.push(rule.name.to_string());
        let users = rule.users.iter().flatten();
        names.extend(users.map(ToString::to_string));
    }
    names
}
