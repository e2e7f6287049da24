//! What a session does for a command, and what it answers.

use tokio::task::spawn_blocking;

use super::command::{Command, NotUnderstood};
use super::extended::Refused;
use super::only::only;
use super::session::{End, Session};
use super::show::{Rows, Show, World, help};
use super::table::{Column, Row, row, text};
use crate::access::AdminRight;
use crate::admin::action::{self, Action, ActionError, Actor, Unfinished};
use crate::wire::ClientError;

/// The columns of what REFRESH answers.
pub(super) const REFRESHED: &[Column] = &[
    text("secret"),
    text("version"),
    text("changed"),
    text("error"),
];

/// What a command answers.
#[derive(Default)]
pub struct Answer {
    pub notices: Vec<(String, Option<String>)>,
    pub table: Option<(Vec<Column>, Vec<Row>)>,
    pub tag: String,
}

impl Session {
    /// Does what a command asks for.
    pub(super) async fn execute(
        &mut self,
        command: &Command,
    ) -> Result<Result<Answer, Refused>, End> {
        self.commands += 1;
        let tag = |tag: &str| Answer {
            tag: tag.to_owned(),
            ..Answer::default()
        };
        Ok(match command {
            Command::Show { show, only } => {
                let right = self.visit.handle.right();
                rows(self.world.clone(), right, show, only.as_deref()).await
            }
            Command::Help => Ok(Answer {
                notices: vec![("Console usage".to_owned(), Some(help()))],
                ..tag("SHOW")
            }),
            Command::Driver(reply) => Ok(Answer {
                table: (!reply.columns.is_empty())
                    .then(|| (reply.columns(), vec![reply.row.clone()])),
                ..tag(reply.tag)
            }),
            Command::Transaction { begins, tag: word } => {
                self.in_transaction = *begins;
                Ok(tag(word))
            }
            Command::Deallocate { name, tag: word } => {
                let done = self.prepared.deallocate(name.as_deref());
                done.map(|()| tag(word))
            }
            Command::Act(action) => self.act(action).await?,
        })
    }

    /// Does something, and waits until it is done. The client may cancel that, or leave.
    async fn act(&mut self, action: &Action) -> Result<Result<Answer, Refused>, End> {
        let handle = self.visit.handle.clone();
        let actor = Actor {
            who: handle.session_ref(),
            right: handle.right(),
        };
        let proxy = &self.world.proxy;
        let begun = match action::begin(proxy, &actor, action).await {
            Ok(begun) => begun,
            Err(e) => return Ok(Err(refused(&e))),
        };
        let mut notices: Vec<_> = begun.notices.into_iter().map(|said| (said, None)).collect();
        let unfinished = Unfinished::of(proxy, &actor, action);
        let done = tokio::select! {
            biased;
            done = begun.rest.done() => done,
            () = handle.cancelled() => return Ok(Err(cancel(action, unfinished).await)),
            () = self.input.until_client_leaves(&mut self.visit.stream) => return Err(End::Gone),
            error = handle.ends() => return Err(End::Told(error)),
        };
        unfinished.done();
        match done {
            Ok(more) => notices.extend(more.into_iter().map(|said| (said, None))),
            Err(e) => return Ok(Err(refused(&e))),
        }
        let refreshed = begun.refreshed.into_iter().map(|r| {
            row![
                &*r.secret,
                r.current.as_deref(),
                if r.changed { "yes" } else { "no" },
                r.error,
            ]
        });
        let table =
            matches!(action, Action::Refresh(_)).then(|| (REFRESHED.to_vec(), refreshed.collect()));
        Ok(Ok(Answer {
            notices,
            table,
            tag: action.word().to_owned(),
        }))
    }
}

/// Takes back what a cancelled command has begun.
async fn cancel(action: &Action, unfinished: Unfinished) -> Refused {
    let error = ClientError::Cancelled;
    let mut refused = Refused::new(error.sqlstate().0, error.to_string());
    refused.hint = match unfinished.take_back().await {
        Ok(true) => Some("What it was to pause goes on.".to_owned()),
        Ok(false) => None,
        Err(e) => Some(format!("It is still paused: {e}")),
    };
    if let Action::Rotate(_) = action {
        refused.hint = Some("The rotation goes on; SHOW SECRETS shows what comes of it.".into());
    }
    refused
}

/// How many records there are in SHOW AUDIT, if nobody says; and at most.
const RECORDS: usize = 100;
const MOST_RECORDS: usize = 1000;

/// How many rows are asked for, where a number says that.
fn number(show: &Show, only: Option<&str>) -> Result<Option<usize>, Refused> {
    let Rows::Read(_) = show.rows else {
        return Ok(None);
    };
    match only.map(str::parse) {
        Some(Ok(number)) if number > MOST_RECORDS => {
            let word = show.word;
            let mut refused = Refused::new(
                "22023",
                format!("SHOW {word} shows {MOST_RECORDS} records at most"),
            );
            refused.hint = Some("`pgvalet audit query` has all of them.".to_owned());
            Err(refused)
        }
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) | None => Ok(None),
    }
}

/// What SHOW answers to somebody with this right. `only`: the name that rows must have, or their
/// number.
async fn rows(
    world: World,
    right: Option<AdminRight>,
    show: &Show,
    only: Option<&str>,
) -> Result<Answer, Refused> {
    if right.is_none() || show.right == AdminRight::Change && right != Some(show.right) {
        let said = format!("SHOW {} needs a rule with admin = true", show.word);
        return Err(Refused::new("42501", said));
    }
    let number = number(show, only)?;
    let mut rows = match show.rows {
        Rows::Now(rows) => rows(&world),
        Rows::Both(rows) => {
            let others = world.proxy.others().await;
            rows(&world, &others)
        }
        Rows::Read(rows) => {
            let most = number.unwrap_or(RECORDS);
            let world = world.clone();
            let read = spawn_blocking(move || rows(&world, most)).await;
            let read = read.unwrap_or_else(|e| Err(e.to_string()));
            read.map_err(|why| Refused::new("58030", why))?
        }
    };
    if let Some(name) = only.filter(|_| number.is_none()) {
        rows = self::only(&world, show, rows, name)?;
    }
    Ok(Answer {
        table: Some((show.columns.to_vec(), rows)),
        tag: "SHOW".to_owned(),
        ..Answer::default()
    })
}

pub(super) fn unterminated() -> Refused {
    Refused::new("42601", "the text ends inside of a quotation or a comment")
}

pub(super) fn not_understood(e: NotUnderstood) -> Refused {
    Refused {
        sqlstate: "42601",
        said: e.said,
        hint: e.hint,
    }
}

fn refused(e: &ActionError) -> Refused {
    Refused {
        sqlstate: e.sqlstate().0,
        said: e.to_string(),
        hint: e.hint(),
    }
}
