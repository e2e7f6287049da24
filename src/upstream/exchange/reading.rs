//! The answers of an exchange as they come in.

use super::{QueryError, Rows};
use crate::upstream::Fence;
use crate::wire::HEADER;
use crate::wire::message::{self, ErrorFields};
use crate::wire::tag::{backend as tag, status};

/// The answers so far.
pub(super) struct Reading {
    pub rows: Vec<Rows>,
    /// Why the first query failed that did.
    pub failed: Option<ErrorFields>,
    /// Queries whose ReadyForQuery has come.
    ready: usize,
    fence: Fence,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Questions,
    /// The fence is next.
    Fence,
    /// The answer of the fence has begun.
    Fenced,
    Done,
}

impl Reading {
    pub fn new(queries: usize, fence: Fence) -> Self {
        Self {
            rows: vec![Rows::new(); queries],
            failed: None,
            ready: 0,
            fence,
            stage: match queries {
                0 => Stage::Fence,
                _ => Stage::Questions,
            },
        }
    }

    pub fn done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub fn message(&mut self, tag: u8, bytes: &[u8]) -> Result<(), QueryError> {
        let idle = bytes.get(HEADER) == Some(&status::IDLE);
        self.stage = match (&self.stage, tag) {
            (Stage::Questions, tag::READY_FOR_QUERY) => {
                self.ready += 1;
                match self.ready == self.rows.len() {
                    true => Stage::Fence,
                    false => Stage::Questions,
                }
            }
            (
                Stage::Questions,
                tag::ROW_DESCRIPTION | tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE,
            ) => Stage::Questions,
            (Stage::Questions, tag::DATA_ROW) => {
                if let Some(rows) = self.rows.get_mut(self.ready) {
                    rows.push(message::read_row(bytes));
                }
                Stage::Questions
            }
            (Stage::Questions, tag::ERROR_RESPONSE) => {
                let fields = ErrorFields::read(bytes);
                if fields.is_fatal() {
                    return Err(QueryError::Refused(fields));
                }
                self.failed.get_or_insert(fields);
                Stage::Questions
            }
            // The tag of the SET in front of it.
            (Stage::Fence, tag::COMMAND_COMPLETE) if message::read_command_tag(bytes) == b"SET" => {
                Stage::Fence
            }
            (Stage::Fence, tag::ROW_DESCRIPTION) if self.fence.is_answered_by(bytes) => {
                Stage::Fenced
            }
            (Stage::Fenced, tag::DATA_ROW | tag::COMMAND_COMPLETE) => Stage::Fenced,
            (Stage::Fenced, tag::READY_FOR_QUERY) if idle => Stage::Done,
            _ => return Err(QueryError::Protocol),
        };
        Ok(())
    }
}
