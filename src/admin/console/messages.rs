//! The messages of the extended protocol, as a session answers them.

use std::sync::Arc;

use super::command::{Command, understand};
use super::execute::{REFRESHED, not_understood, unterminated};
use super::extended::{Bind, Parsed, Refused, Rows};
use super::input::Fields;
use super::session::{End, PIECE, Session};
use super::table::{Column, Formats, write_columns, write_row};
use super::words::{Unterminated, statements};
use crate::admin::action::Action;
use crate::wire::ClientError;
use crate::wire::answer::{bare, command_complete, no_parameters};
use crate::wire::tag::{backend, frontend, object};

impl Session {
    /// A message of the extended protocol.
    pub(super) async fn extended(
        &mut self,
        tag: u8,
        body: &[u8],
    ) -> Result<Result<(), Refused>, End> {
        let mut fields = Fields(body);
        let text = |fields: &mut Fields<'_>| fields.text().map_err(ClientError::from);
        let byte = |fields: &mut Fields<'_>| fields.byte().map_err(ClientError::from);
        Ok(match tag {
            frontend::PARSE => {
                let (name, sql) = (text(&mut fields)?, text(&mut fields)?);
                let kept = parse(&sql).and_then(|parsed| self.prepared.parse(name, parsed));
                kept.map(|()| bare(&mut self.out, backend::PARSE_COMPLETE))
            }
            frontend::BIND => match Bind::read(body)? {
                Ok(bind) => {
                    let bound = self.prepared.bind(bind);
                    bound.map(|()| bare(&mut self.out, backend::BIND_COMPLETE))
                }
                Err(refused) => Err(refused),
            },
            frontend::DESCRIBE => {
                let (what, name) = (byte(&mut fields)?, text(&mut fields)?);
                self.describe(what, &name)
            }
            frontend::CLOSE => {
                let (what, name) = (byte(&mut fields)?, text(&mut fields)?);
                self.prepared.close(what, &name);
                bare(&mut self.out, backend::CLOSE_COMPLETE);
                Ok(())
            }
            _ => {
                let name = text(&mut fields)?;
                let most = fields.int32().map_err(ClientError::from)?;
                self.execute_portal(&name, usize::try_from(most).unwrap_or(0))
                    .await?
            }
        })
    }

    fn describe(&mut self, what: u8, name: &str) -> Result<(), Refused> {
        let (statement, formats) = match what {
            object::STATEMENT => {
                let statement = self.prepared.statement(name)?;
                no_parameters(&mut self.out);
                (statement, Formats::default())
            }
            _ => {
                let portal = self.prepared.portal(name)?;
                (portal.statement.clone(), portal.formats.clone())
            }
        };
        match statement.as_deref().and_then(columns) {
            Some(columns) => write_columns(&mut self.out, &columns, &formats),
            None => bare(&mut self.out, backend::NO_DATA),
        }
        Ok(())
    }

    /// Executes a portal, or goes on with one; `most` rows, or all of them if that is 0.
    async fn execute_portal(
        &mut self,
        name: &str,
        most: usize,
    ) -> Result<Result<(), Refused>, End> {
        let portal = match self.prepared.portal(name) {
            Ok(portal) => portal,
            Err(refused) => return Ok(Err(refused)),
        };
        let formats = portal.formats.clone();
        let mut rows = match (portal.rest.take(), portal.statement.clone()) {
            (Some(rest), _) => rest,
            (None, None) => {
                bare(&mut self.out, backend::EMPTY_QUERY_RESPONSE);
                return Ok(Ok(()));
            }
            (None, Some(command)) => match self.execute(&command).await? {
                Ok(answer) => {
                    self.write_notices(&answer.notices);
                    let (columns, rows) = answer.table.unwrap_or_default();
                    Rows {
                        columns,
                        rows: rows.into_iter(),
                        tag: answer.tag,
                        sent: 0,
                    }
                }
                Err(refused) => return Ok(Err(refused)),
            },
        };
        let mut is_done = false;
        while most == 0 || rows.sent < most {
            let Some(row) = rows.rows.next() else {
                is_done = true;
                break;
            };
            write_row(&mut self.out, &rows.columns, &row, &formats);
            rows.sent += 1;
            if self.out.len() > PIECE {
                self.flush().await?;
            }
        }
        rows.sent = 0;
        match is_done {
            true => command_complete(&mut self.out, &rows.tag),
            false => bare(&mut self.out, backend::PORTAL_SUSPENDED),
        }
        // Kept also where nothing is left: a portal does nothing twice.
        if let Ok(portal) = self.prepared.portal(name) {
            portal.rest = Some(rows);
        }
        Ok(Ok(()))
    }
}

/// Understands the text of Parse, which may hold one statement.
fn parse(sql: &str) -> Result<Parsed, Refused> {
    let statements = statements(sql).map_err(|Unterminated| unterminated())?;
    match &statements[..] {
        [] => Ok(None),
        [statement] => match understand(statement) {
            Ok(command) => Ok(Some(Arc::new(command))),
            Err(e) => Err(not_understood(e)),
        },
        _ => Err(Refused::new(
            "42601",
            "cannot insert multiple commands into a prepared statement",
        )),
    }
}

/// The columns that a command answers with, if it answers with rows.
fn columns(command: &Command) -> Option<Vec<Column>> {
    match command {
        Command::Show { show, .. } => Some(show.columns.to_vec()),
        Command::Driver(reply) if !reply.columns.is_empty() => Some(reply.columns()),
        Command::Act(Action::Refresh(_)) => Some(REFRESHED.to_vec()),
        _ => None,
    }
}
