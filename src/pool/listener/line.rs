//! The shared connection as a stream of messages.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pool::{Lease, Profile};
use crate::upstream::QueryError;
use crate::wire::message::ErrorFields;
use crate::wire::tag::{backend as tag, status};
use crate::wire::{Frame, HEADER};

/// The largest message that is expected, in bytes: a payload is below 8000.
const MAX_MESSAGE: usize = 1 << 16;

/// Switches off time limits, which would end the connection, and the conversion of
/// payloads: they are for clients for whom nothing is converted either.
const UNLIMITED: &str = "SELECT pg_catalog.set_config(name, CASE name \
WHEN 'client_encoding' THEN pg_catalog.current_setting('server_encoding') ELSE '0' END, false) \
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['client_encoding', \
'statement_timeout', 'transaction_timeout', 'idle_session_timeout'])";

/// A connection that listens.
pub(super) struct Line {
    pub lease: Lease,
    input: BytesMut,
}

impl Line {
    /// Makes a connection fit to listen; what it hears meanwhile goes to `heard`.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is closed.
    pub async fn open(lease: Lease, heard: impl FnMut(&[u8])) -> Result<Self, QueryError> {
        let mut line = Self {
            lease,
            input: BytesMut::new(),
        };
        line.lease.speaks();
        line.lease.backend().cancels_landed().await;
        let mut sql = Profile::initial()
            .change_from(&line.lease.profile)
            .unwrap_or_default();
        line.lease.profile = Profile::initial();
        sql.push_str(UNLIMITED);
        line.run(&sql, heard).await?;
        Ok(line)
    }

    /// Waits for the next message. Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Result<BytesMut, QueryError> {
        loop {
            match Frame::read(&self.input) {
                Ok(Some(frame)) if frame.len <= self.input.len() => {
                    return Ok(self.input.split_to(frame.len));
                }
                Ok(Some(frame)) if frame.len > MAX_MESSAGE => return Err(QueryError::Protocol),
                Ok(_) => {}
                Err(_) => return Err(QueryError::Protocol),
            }
            self.input.reserve(8192);
            if self.lease.stream().read_buf(&mut self.input).await? == 0 {
                return Err(QueryError::Closed);
            }
        }
    }

    /// Runs a query; notifications that come meanwhile go to `heard`.
    ///
    /// # Errors
    /// [`QueryError`]; after `Refused` the connection can be used all the same.
    pub async fn run(&mut self, sql: &str, mut heard: impl FnMut(&[u8])) -> Result<(), QueryError> {
        let mut out = Vec::new();
        self.lease.prepared.query(sql, &mut out);
        self.lease.stream().write_all(&out).await?;
        self.lease.stream().flush().await?;
        let mut failed = None;
        loop {
            let message = self.next().await?;
            match message[0] {
                tag::NOTIFICATION_RESPONSE => heard(&message),
                tag::ERROR_RESPONSE => failed = Some(ErrorFields::read(&message)),
                tag::READY_FOR_QUERY if message.get(HEADER) == Some(&status::IDLE) => break,
                // A transaction is open.
                tag::READY_FOR_QUERY => return Err(QueryError::Protocol),
                _ => {}
            }
        }
        failed.map_or(Ok(()), |fields| Err(QueryError::Refused(fields)))
    }
}
