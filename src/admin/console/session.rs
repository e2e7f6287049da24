//! One session of the console, from its greeting to its goodbye.

use std::time::Duration;

use tokio::time::timeout;

use super::command::understand;
use super::driver_settings::{REPORTED, spelling, value_of};
use super::execute::{Answer, not_understood, unterminated};
use super::extended::{Prepared, Refused};
use super::input::{Fields, Input, Message};
use super::show::World;
use super::table::{Formats, write_columns, write_row};
use super::words::{Unterminated, statements};
use crate::access::AdminRight;
use crate::net::hang_up;
use crate::session::{Farewell, Visit};
use crate::wire::answer::{bare, command_complete, notice};
use crate::wire::tag::{backend, frontend, status};
use crate::wire::{ClientError, login, message};

/// How long a client that does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers are sent in pieces of this size.
pub(super) const PIECE: usize = 64 * 1024;

/// Why a session ends.
pub enum End {
    /// Its client has left, or does not read.
    Gone,
    Told(ClientError),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Told(error)
    }
}

pub struct Session {
    pub(super) world: World,
    pub(super) visit: Visit,
    pub(super) input: Input,
    pub(super) out: Vec<u8>,
    sent: u64,
    pub(super) commands: u64,
    pub(super) prepared: Prepared,
    pub(super) in_transaction: bool,
    /// After an error in the extended protocol: messages are skipped up to Sync.
    skipping: bool,
}

impl Session {
    pub fn new(world: World, visit: Visit) -> Self {
        Self {
            world,
            visit,
            input: Input::default(),
            out: Vec::new(),
            sent: 0,
            commands: 0,
            prepared: Prepared::default(),
            in_transaction: false,
            skipping: false,
        }
    }

    /// Serves the session to its end.
    pub async fn run(mut self) -> Farewell {
        self.greet();
        let end = self.serve().await;
        let told = match end {
            End::Gone => None,
            End::Told(error) => {
                error.fatal(&mut self.out);
                if self.flush().await.is_ok() {
                    hang_up(&mut self.visit.stream).await;
                }
                Some(error)
            }
        };
        Farewell {
            commands: self.commands,
            bytes_in: self.input.received,
            bytes_out: self.sent,
            told,
        }
    }

    fn greet(&mut self) {
        let handle = &self.visit.handle;
        let changes = handle.right() == Some(AdminRight::Change);
        let own = self.visit.startup.parameter("application_name");
        message::authentication_ok(&mut self.out);
        for name in REPORTED {
            let value = value_of(name).unwrap_or_default();
            message::parameter_status(&mut self.out, spelling(name), value);
        }
        for (name, value) in [
            ("is_superuser", if changes { "on" } else { "off" }),
            ("session_authorization", &*handle.client),
            ("application_name", own.unwrap_or_default()),
        ] {
            message::parameter_status(&mut self.out, name, value);
        }
        login::backend_key_data(&mut self.out, handle.pid.0, handle.key.bytes());
        message::ready_for_query(&mut self.out, status::IDLE);
    }

    /// Answers messages until the session ends.
    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.flush().await {
                return end;
            }
            let message = match self.next().await {
                Ok(message) => message,
                Err(end) => return end,
            };
            if message.tag == frontend::TERMINATE {
                return End::Gone;
            }
            if let Err(end) = self.answer(message).await {
                return end;
            }
        }
    }

    /// The next message.
    async fn next(&mut self) -> Result<Message, End> {
        loop {
            if let Some(message) = self.input.take()? {
                return Ok(message);
            }
            // What was answered has to be out before anything is waited for.
            let handle = self.visit.handle.clone();
            tokio::select! {
                read = self.input.read(&mut self.visit.stream) => match read {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Err(End::Gone),
                },
                error = handle.ends() => return Err(End::Told(error)),
            }
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let said = timeout(PATIENCE, self.visit.stream.say(&self.out)).await;
        self.sent += self.out.len() as u64;
        self.out.clear();
        match said {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn answer(&mut self, message: Message) -> Result<(), End> {
        let Message { tag, body } = message;
        match tag {
            frontend::QUERY => {
                self.skipping = false;
                let text = Fields(&body).text().map_err(ClientError::from)?;
                self.query(&text).await?;
                self.ready();
            }
            frontend::SYNC => {
                self.skipping = false;
                if !self.in_transaction {
                    self.prepared.close_portals();
                }
                self.ready();
            }
            frontend::FLUSH => {}
            frontend::PARSE
            | frontend::BIND
            | frontend::DESCRIBE
            | frontend::EXECUTE
            | frontend::CLOSE
                if self.skipping => {}
            frontend::PARSE
            | frontend::BIND
            | frontend::DESCRIBE
            | frontend::EXECUTE
            | frontend::CLOSE => {
                if let Err(refused) = self.extended(tag, &body).await? {
                    self.refuse(&refused);
                    self.skipping = true;
                }
            }
            // Left over from a COPY that there was none of; Postgres ignores them, too.
            frontend::COPY_DATA | frontend::COPY_DONE | frontend::COPY_FAIL => {}
            frontend::FUNCTION_CALL => {
                let said = "the console has no functions to call";
                self.refuse(&Refused::new("0A000", said));
                self.ready();
            }
            other => return Err(ClientError::UnknownMessage(other).into()),
        }
        Ok(())
    }

    fn ready(&mut self) {
        let status = match self.in_transaction {
            true => status::IN_TRANSACTION,
            false => status::IDLE,
        };
        message::ready_for_query(&mut self.out, status);
    }

    fn refuse(&mut self, refused: &Refused) {
        let hint = refused.hint.as_deref();
        let (sqlstate, said) = (refused.sqlstate, &refused.said);
        message::error_response(&mut self.out, "ERROR", sqlstate, said, hint);
    }

    /// A query of the simple protocol: of several statements, those up to the first that fails.
    async fn query(&mut self, text: &str) -> Result<(), End> {
        let statements = match statements(text) {
            Ok(statements) => statements,
            Err(Unterminated) => {
                self.refuse(&unterminated());
                return Ok(());
            }
        };
        if statements.is_empty() {
            bare(&mut self.out, backend::EMPTY_QUERY_RESPONSE);
        }
        for statement in &statements {
            let command = match understand(statement) {
                Ok(command) => command,
                Err(e) => {
                    self.refuse(&not_understood(e));
                    return Ok(());
                }
            };
            match self.execute(&command).await? {
                Ok(answer) => self.write(answer, &Formats::default()).await?,
                Err(refused) => {
                    self.refuse(&refused);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes the answer to a command of the simple protocol.
    async fn write(&mut self, answer: Answer, formats: &Formats) -> Result<(), End> {
        self.write_notices(&answer.notices);
        let mut tag = answer.tag;
        if let Some((columns, rows)) = answer.table {
            write_columns(&mut self.out, &columns, formats);
            if tag.is_empty() {
                tag = "SHOW".to_owned();
            }
            for row in &rows {
                write_row(&mut self.out, &columns, row, formats);
                if self.out.len() > PIECE {
                    self.flush().await?;
                }
            }
        }
        command_complete(&mut self.out, &tag);
        Ok(())
    }

    pub(super) fn write_notices(&mut self, notices: &[(String, Option<String>)]) {
        for (said, detail) in notices {
            notice(&mut self.out, said, detail.as_deref());
        }
    }
}
