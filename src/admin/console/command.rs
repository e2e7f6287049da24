//! What a statement asks for.

use super::driver::{self, Reply};
use super::show::{SHOWS, Show};
use super::words::{Statement, Word};
use crate::admin::action::Action;
use crate::admin::operations::Stop;
use crate::base::nearest;

/// One statement, understood.
#[derive(Clone)]
pub enum Command {
    Show {
        show: &'static Show,
        /// Only rows that have this in one of their columns.
        only: Option<String>,
    },
    Help,
    Act(Action),
    /// What drivers send by themselves.
    Driver(Reply),
    /// Forgets a prepared statement, or all of them.
    Deallocate {
        name: Option<String>,
        tag: &'static str,
    },
    /// BEGIN and its end, which drivers send around everything.
    Transaction {
        begins: bool,
        tag: &'static str,
    },
}

/// Why a statement is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    pub said: String,
    pub hint: Option<String>,
}

impl NotUnderstood {
    fn new(said: String, hint: Option<String>) -> Self {
        Self { said, hint }
    }
}

/// The words with which a statement can begin.
const WORDS: [&str; 17] = [
    "SHOW",
    "PAUSE",
    "RESUME",
    "DISABLE",
    "ENABLE",
    "KILL",
    "KILL_CLIENT",
    "RECONNECT",
    "WAIT_CLOSE",
    "RELOAD",
    "REFRESH",
    "ROTATE",
    "APPROVE",
    "SET",
    "SHUTDOWN",
    "SELECT",
    "RESET",
];

/// Understands a statement.
///
/// # Errors
/// [`NotUnderstood`]
pub fn understand(statement: &Statement) -> Result<Command, NotUnderstood> {
    let words = &statement.words[..];
    let Some((first, rest)) = words.split_first() else {
        return Err(NotUnderstood::new("there is no command".to_owned(), None));
    };
    if let Some(command) = driver::understand(first, rest) {
        return Ok(command);
    }
    let word = first.value().unwrap_or_default().to_ascii_uppercase();
    let act = |action| Ok(Command::Act(action));
    match word.as_str() {
        "SHOW" => show(rest, statement),
        "PAUSE" => act(Action::Pause(one_or_none(rest, statement)?)),
        "RESUME" => act(Action::Resume(one_or_none(rest, statement)?)),
        "DISABLE" => act(Action::Disable(one(rest, statement, "a database")?)),
        "ENABLE" => act(Action::Enable(one(rest, statement, "a database")?)),
        "KILL" => act(Action::Kill(one_or_none(rest, statement)?)),
        "KILL_CLIENT" => {
            let id = one(rest, statement, "the id of a session")?;
            let number = id.parse().map_err(|_| {
                let hint = "The ids are in SHOW CLIENTS.".to_owned();
                NotUnderstood::new(format!("{id:?} is no id of a session"), Some(hint))
            });
            act(Action::KillClient(number?))
        }
        "RECONNECT" => act(Action::Reconnect(one_or_none(rest, statement)?)),
        "WAIT_CLOSE" => act(Action::WaitClose(one_or_none(rest, statement)?)),
        "RELOAD" => none(rest, statement).and_then(|()| act(Action::Reload)),
        "REFRESH" => act(Action::Refresh(one_or_none(rest, statement)?)),
        "APPROVE" => act(Action::Approve(one(rest, statement, "a secret")?)),
        "ROTATE" => act(Action::Rotate(one(rest, statement, "a secret")?)),
        "SHUTDOWN" => act(Action::Shutdown(shutdown(rest, statement)?)),
        "SET" => set(rest, statement),
        "SELECT" => {
            let hint = "The console has commands; SHOW HELP lists them.".to_owned();
            let said = format!("{:?} is a query of a database", statement.written);
            Err(NotUnderstood::new(said, Some(hint)))
        }
        _ => {
            let near = nearest(&word, WORDS).map(|near| format!("Did you mean {near}?"));
            let hint = near.unwrap_or_else(|| "SHOW HELP lists what there is.".to_owned());
            let said = format!("the console has no command {:?}", statement.written);
            Err(NotUnderstood::new(said, Some(hint)))
        }
    }
}

fn show(rest: &[Word], statement: &Statement) -> Result<Command, NotUnderstood> {
    let (what, rest) = match rest.split_first() {
        None => return Ok(Command::Help),
        Some((what, rest)) => (what.value().unwrap_or_default(), rest),
    };
    let only = one_or_none(rest, statement)?;
    if what.eq_ignore_ascii_case("help") {
        return Ok(Command::Help);
    }
    let found = SHOWS.iter().find(|s| s.word.eq_ignore_ascii_case(what));
    if let Some(show) = found {
        return Ok(Command::Show { show, only });
    }
    if let Some(reply) = driver::setting(what) {
        return Ok(Command::Driver(reply));
    }
    let known = SHOWS.iter().map(|show| show.word);
    let near = nearest(&what.to_ascii_uppercase(), known);
    let hint = match near {
        Some(near) => format!("Did you mean SHOW {near}?"),
        None => "SHOW HELP lists what there is.".to_owned(),
    };
    let said = format!("there is no SHOW {what}");
    Err(NotUnderstood::new(said, Some(hint)))
}

fn shutdown(rest: &[Word], statement: &Statement) -> Result<Stop, NotUnderstood> {
    match rest {
        [] => Ok(Stop::Now),
        [word] if word.is("WAIT_FOR_CLIENTS") => Ok(Stop::WhenClientsHaveLeft),
        _ => Err(NotUnderstood::new(
            format!("{:?} is not possible", statement.written),
            Some("Write SHUTDOWN or SHUTDOWN WAIT_FOR_CLIENTS.".to_owned()),
        )),
    }
}

/// `SET key = value` of pgvalet's own; those of drivers are understood before.
fn set(rest: &[Word], statement: &Statement) -> Result<Command, NotUnderstood> {
    let value = |words: &[Word]| -> Option<String> {
        let texts: Option<Vec<&str>> = words.iter().map(Word::value).collect();
        texts.filter(|t| !t.is_empty()).map(|t| t.concat())
    };
    let parts = match rest {
        [key, is, value @ ..] if is.is_sign('=') || is.is("to") => {
            key.value().zip(self::some(value))
        }
        _ => None,
    };
    let parts = parts.and_then(|(key, words)| Some((key.to_owned(), value(words)?)));
    match parts {
        Some((key, value)) => Ok(Command::Act(Action::Set { key, value })),
        None => Err(NotUnderstood::new(
            format!("{:?} is not possible", statement.written),
            Some("Write SET key = 'value'.".to_owned()),
        )),
    }
}

fn some(words: &[Word]) -> Option<&[Word]> {
    (!words.is_empty()).then_some(words)
}

/// The one name that may follow.
fn one_or_none(rest: &[Word], statement: &Statement) -> Result<Option<String>, NotUnderstood> {
    match rest {
        [] => Ok(None),
        [name] if name.value().is_some() => Ok(name.value().map(Into::into)),
        _ => {
            let hint = "At most one name may follow; one with spaces or signs in it stands in double quotes.";
            let said = format!("{:?} is too much", statement.written);
            Err(NotUnderstood::new(said, Some(hint.to_owned())))
        }
    }
}

fn one(rest: &[Word], statement: &Statement, what: &str) -> Result<String, NotUnderstood> {
    let name = one_or_none(rest, statement)?;
    name.ok_or_else(|| {
        let hint = format!("Name {what}.");
        NotUnderstood::new(format!("{:?} is not enough", statement.written), Some(hint))
    })
}

fn none(rest: &[Word], statement: &Statement) -> Result<(), NotUnderstood> {
    match rest {
        [] => Ok(()),
        _ => {
            let said = format!("{:?} is too much", statement.written);
            Err(NotUnderstood::new(
                said,
                Some("Nothing may follow.".to_owned()),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::console::words::statements;

    fn command(text: &str) -> Result<Command, NotUnderstood> {
        understand(&statements(text).expect("statements")[0])
    }

    fn action(text: &str) -> Action {
        match command(text) {
            Ok(Command::Act(action)) => action,
            Ok(_) => panic!("{text} is no action"),
            Err(e) => panic!("{text}: {e:?}"),
        }
    }

    fn hint(text: &str) -> String {
        match command(text) {
            Ok(_) => panic!("{text} is understood"),
            Err(e) => e.hint.unwrap_or_default(),
        }
    }

    #[test]
    fn words_in_any_case() {
        assert_eq!(action("pause"), Action::Pause(None));
        assert_eq!(
            action("Pause Orders;"),
            Action::Pause(Some("Orders".into()))
        );
        assert_eq!(
            action("RESUME \"my db\""),
            Action::Resume(Some("my db".into()))
        );
        assert_eq!(action("kill_client 17"), Action::KillClient(17));
        assert_eq!(
            action("rotate prod/orders"),
            Action::Rotate("prod/orders".into())
        );
        assert_eq!(
            action("shutdown wait_for_clients"),
            Action::Shutdown(Stop::WhenClientsHaveLeft)
        );
        let set = Action::Set {
            key: "wait_notice".into(),
            value: "2s".into(),
        };
        assert_eq!(action("SET wait_notice = '2s'"), set);
        assert_eq!(action("set wait_notice to 2s"), set);
    }

    #[test]
    fn what_is_not_understood_has_a_hint() {
        assert_eq!(hint("PUASE"), "Did you mean PAUSE?");
        assert_eq!(hint("show clinets"), "Did you mean SHOW CLIENTS?");
        assert_eq!(hint("drop table x"), "SHOW HELP lists what there is.");
        assert_eq!(hint("SHOW x y z"), hint("PAUSE a b"));
        assert_eq!(hint("DISABLE"), "Name a database.");
        assert!(hint("KILL_CLIENT x").contains("SHOW CLIENTS"));
        assert_eq!(hint("RELOAD x"), "Nothing may follow.");
        for set in ["SET", "SET a", "SET a =", "SET a = ;"] {
            assert_eq!(hint(set), "Write SET key = 'value'.", "{set}");
        }
    }
}
