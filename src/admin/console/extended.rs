//! Prepared statements and portals: what Parse, Bind, Describe, Execute and Close ask for.

use std::collections::HashMap;
use std::sync::Arc;

use super::command::Command;
use super::input::Fields;
use super::table::{Column, Formats, Row};
use crate::wire::ClientError;
use crate::wire::tag::object;

/// Statements and portals of one session: more is a mistake.
const MOST: usize = 1000;

/// A statement that was parsed; `None`: an empty one.
pub type Parsed = Option<Arc<Command>>;

/// A statement that was bound.
pub struct Portal {
    pub statement: Parsed,
    pub formats: Formats,
    /// The rest of its rows, once it was executed.
    pub rest: Option<Rows>,
}

/// Rows that have not been sent yet.
pub struct Rows {
    pub columns: Vec<Column>,
    pub rows: std::vec::IntoIter<Row>,
    pub tag: String,
    /// Rows that were sent.
    pub sent: usize,
}

/// An error of a message of the extended protocol: the client goes on with Sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub sqlstate: &'static str,
    pub said: String,
    pub hint: Option<String>,
}

impl Refused {
    pub fn new(sqlstate: &'static str, said: impl Into<String>) -> Self {
        Self {
            sqlstate,
            said: said.into(),
            hint: None,
        }
    }
}

/// What a session has prepared.
#[derive(Default)]
pub struct Prepared {
    statements: HashMap<String, Parsed>,
    portals: HashMap<String, Portal>,
}

/// What Bind says.
pub struct Bind {
    portal: String,
    statement: String,
    formats: Formats,
}

impl Bind {
    /// # Errors
    /// The message is malformed, or brings parameters, of which there are none.
    pub fn read(body: &[u8]) -> Result<Result<Self, Refused>, ClientError> {
        let mut fields = Fields(body);
        let (portal, statement) = (fields.text()?, fields.text()?);
        for _ in 0..fields.int16()? {
            fields.int16()?;
        }
        if fields.int16()? > 0 {
            let said = "commands of the console have no parameters";
            return Ok(Err(Refused::new("08P01", said)));
        }
        let formats: Result<Vec<bool>, _> = (0..fields.int16()?)
            .map(|_| fields.int16().map(|format| format == 1))
            .collect();
        Ok(Ok(Self {
            portal,
            statement,
            formats: Formats(formats?),
        }))
    }
}

impl Prepared {
    /// Keeps a statement.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn parse(&mut self, name: String, parsed: Parsed) -> Result<(), Refused> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let said = format!("prepared statement \"{name}\" already exists");
            return Err(Refused::new("42P05", said));
        }
        if self.statements.len() >= MOST {
            return Err(Refused::new("54000", "too many prepared statements"));
        }
        self.statements.insert(name, parsed);
        Ok(())
    }

    /// The statement of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn statement(&self, name: &str) -> Result<Parsed, Refused> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let said = format!("prepared statement \"{name}\" does not exist");
            Refused::new("26000", said)
        })
    }

    /// Makes a portal of a statement.
    ///
    /// # Errors
    /// There is no such statement, or there is such a portal.
    pub fn bind(&mut self, bind: Bind) -> Result<(), Refused> {
        let statement = self.statement(&bind.statement)?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            let said = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Refused::new("42P03", said));
        }
        if self.portals.len() >= MOST {
            return Err(Refused::new("54000", "too many portals"));
        }
        let portal = Portal {
            statement,
            formats: bind.formats,
            rest: None,
        };
        self.portals.insert(bind.portal, portal);
        Ok(())
    }

    /// The portal of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn portal(&mut self, name: &str) -> Result<&mut Portal, Refused> {
        self.portals.get_mut(name).ok_or_else(|| {
            let said = format!("portal \"{name}\" does not exist");
            Refused::new("34000", said)
        })
    }

    /// Forgets a statement or a portal; that there is none is no error.
    pub fn close(&mut self, what: u8, name: &str) {
        match what {
            object::STATEMENT => drop(self.statements.remove(name)),
            _ => drop(self.portals.remove(name)),
        }
    }

    /// Forgets a statement, or all of them.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn deallocate(&mut self, name: Option<&str>) -> Result<(), Refused> {
        match name {
            Some(name) => {
                self.statement(name)?;
                self.statements.remove(name);
            }
            None => self.statements.clear(),
        }
        Ok(())
    }

    /// Forgets all portals, at the end of a transaction.
    pub fn close_portals(&mut self) {
        self.portals.clear();
    }
}
