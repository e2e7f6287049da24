//! Transactions on a connection to a store's server.
//!
//! One process at a time writes, as with SQLite: the first statement of every
//! transaction that writes updates the one row of `store`, and so locks it until the
//! end. The transaction is READ COMMITTED, in which each statement sees all that was
//! committed before it. Since nobody else commits while the row is locked, everything
//! that is read after it is as the last writer left it and stays so: the transactions
//! are serial, one after the other, in the order of the numbers that the row counts. That
//! is what SERIALIZABLE would promise, but nothing ever fails with 40001 or 40P01 and has
//! to be tried again (a rule of the vault runs once, its record in the audit log with it),
//! there is no lock that a stranger to the schema could take, and the same statement
//! fetches the key check and the number that others poll.
//!
//! Transactions that only read see one moment (REPEATABLE READ), and wait for nobody.

use std::cell::{Cell as Slot, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::ServerError;
use super::endpoint::{Endpoint, Link};
use super::layout::LAYOUT;
use crate::vault::envelope::Sealed;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Cell, Row};

/// How long a statement may take. Longer than the server waits for a lock.
const PATIENCE: Duration = Duration::from_secs(10);

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const LOOK: &str = "SELECT commits, least, check_key, check_value FROM store";
const LOCK: &str = "UPDATE store SET commits = commits + 1 WHERE one = 1
                    RETURNING commits, least, check_key, check_value";

pub struct Connection {
    endpoint: Arc<Endpoint>,
    link: Link,
    statements: RefCell<HashMap<String, Statement>>,
    /// The connection may be in the middle of something, and is not used again.
    spoiled: Slot<bool>,
}

/// A transaction that has begun.
pub struct Transaction<'a> {
    connection: &'a Connection,
    /// The number of the commit that it will be; `None`: it only reads.
    number: Option<i64>,
    check: Sealed,
    /// A statement failed, after which the server does nothing any more.
    failed: Slot<bool>,
    ended: bool,
}

impl Connection {
    pub fn open(endpoint: Arc<Endpoint>) -> Result<Self, StorageError> {
        Ok(Self {
            link: endpoint.connect()?,
            endpoint,
            statements: RefCell::default(),
            spoiled: Slot::new(false),
        })
    }

    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether the connection can begin another transaction.
    pub fn is_usable(&self) -> bool {
        !self.spoiled.get() && !self.link.client.is_closed()
    }

    pub fn reading(&mut self) -> Result<Transaction<'_>, StorageError> {
        self.begin(false)
    }

    pub fn writing(&mut self) -> Result<Transaction<'_>, StorageError> {
        self.begin(true)
    }

    /// Begins on another connection if this one turns out to be lost: nothing was done on
    /// it yet.
    fn begin(&mut self, write: bool) -> Result<Transaction<'_>, StorageError> {
        let mut begun = match self.is_usable() {
            true => self.first_statement(write),
            false => Err(ServerError::Lost.into()),
        };
        if let Err(StorageError::Server(ServerError::Lost)) = begun {
            *self = Self::open(self.endpoint.clone())?;
            begun = self.first_statement(write);
        }
        let mut row = begun.inspect_err(|_| self.spoiled.set(true))?;
        let number: i64 = row.read()?;
        let least: i64 = row.read()?;
        let check = Sealed {
            data_key: row.read()?,
            value: row.read()?,
        };
        let transaction = Transaction {
            connection: self,
            number: write.then_some(number),
            check,
            failed: Slot::new(false),
            ended: false,
        };
        match least > LAYOUT {
            true => Err(ServerError::Outdated(least, LAYOUT).into()),
            false => Ok(transaction),
        }
    }

    fn first_statement(&self, write: bool) -> Result<Row, StorageError> {
        let (begin, first) = if write { (WRITE, LOCK) } else { (READ, LOOK) };
        let first = self.prepared(first)?;
        let client = &self.link.client;
        // Sent together.
        let (begun, row) = self.wait(async {
            tokio::join!(client.batch_execute(begin), client.query_opt(&first, &[]))
        })?;
        begun.map_err(ServerError::from)?;
        let row = row.map_err(ServerError::from)?;
        cells(&row.ok_or(StorageError::Unexpected("its key check is gone"))?)
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StorageError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let text = sql.replace('?', "$");
        let prepared = self.wait(self.link.client.prepare(&text))?;
        let statement = prepared.map_err(ServerError::from)?;
        let mut statements = self.statements.borrow_mut();
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<F: Future>(&self, work: F) -> Result<F::Output, ServerError> {
        let waited = self
            .endpoint
            .reactor
            .wait(async { timeout(PATIENCE, work).await });
        waited.map_err(|_| {
            self.spoiled.set(true);
            ServerError::Silent(PATIENCE.as_secs())
        })
    }

    /// Statements without parameters, outside a transaction of the vault.
    pub fn batch(&self, sql: &str) -> Result<(), StorageError> {
        let done = self.wait(self.link.client.batch_execute(sql))?;
        Ok(done.map_err(ServerError::from)?)
    }

    /// The number of the last transaction that has written.
    pub fn last_commit(&self) -> Result<i64, StorageError> {
        let rows = self.query("SELECT commits FROM store", &[])?;
        let row = rows.into_iter().next();
        row.ok_or(StorageError::Unexpected("its key check is gone"))?
            .read()
    }

    pub fn query(&self, sql: &str, parameters: &[Cell]) -> Result<Vec<Row>, StorageError> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<_> = parameters
            .iter()
            .map(|p| p as &(dyn ToSql + Sync))
            .collect();
        let rows = self.wait(self.link.client.query(&statement, &parameters))?;
        let rows = rows.map_err(ServerError::from)?;
        rows.iter().map(cells).collect()
    }
}

fn cells(row: &tokio_postgres::Row) -> Result<Row, StorageError> {
    let cells: Result<Vec<Cell>, _> = (0..row.len()).map(|n| row.try_get(n)).collect();
    Ok(Row::new(cells.map_err(ServerError::from)?))
}

impl Transaction<'_> {
    pub fn query(&self, sql: &str, parameters: &[Cell]) -> Result<Vec<Row>, StorageError> {
        let rows = self.connection.query(sql, parameters);
        rows.inspect_err(|_| self.failed.set(true))
    }

    /// The key check, as it was when the transaction began.
    pub fn key_check(&self) -> Sealed {
        Sealed {
            data_key: self.check.data_key.clone(),
            value: self.check.value.clone(),
        }
    }

    /// Commits, and tells the other processes.
    pub fn commit(mut self) -> Result<(), StorageError> {
        let connection = self.connection;
        let Some(number) = self.number else {
            return self.rollback();
        };
        if self.failed.get() {
            // The server would answer COMMIT by rolling back, without an error.
            return Err(StorageError::Unexpected(
                "a statement of the transaction failed",
            ));
        }
        let endpoint = &connection.endpoint;
        let tell = connection.prepared("SELECT pg_notify(?1, ?2)::text")?;
        let channel = super::channel(&endpoint.url.schema);
        let message = format!("{number} {}", endpoint.instance);
        let (client, warned) = (&connection.link.client, &connection.link.warned);
        warned.store(false, Ordering::SeqCst);
        let parameters: [&(dyn ToSql + Sync); 2] = [&channel, &message];
        let (told, committed) = connection.wait(async {
            tokio::join!(
                client.query(&tell, &parameters),
                client.batch_execute("COMMIT")
            )
        })?;
        told.map_err(ServerError::from)?;
        committed.map_err(ServerError::from)?;
        self.ended = true;
        // Somebody cancelled the wait for a standby: the server answers all the same, but a
        // failover may lose what was written.
        if warned.load(Ordering::SeqCst) {
            return Err(ServerError::NotReplicated.into());
        }
        endpoint.committed(number);
        Ok(())
    }

    pub fn rollback(mut self) -> Result<(), StorageError> {
        self.connection.batch("ROLLBACK")?;
        self.ended = true;
        Ok(())
    }
}

/// Where it was neither committed nor rolled back, closing the connection does the latter.
impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.spoiled.set(true);
        }
    }
}
