//! The clients: an ordinary driver, without a password.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, NoTls, Statement};

use super::cluster::ACCOUNTS;
use super::proxy::{Endpoints, ORDERS, REPORTS};
use super::tally::Tally;

/// Longer than anything here takes: a client that waits longer has been forgotten by the proxy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client does between connecting and going away.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Prepared transfers between accounts, one after the other, on one
    /// connection for the whole time.
    Transfers,
    /// One prepared look at a balance, then goodbye.
    Look,
    /// Transactions that stay open for a second and a half.
    Settlement,
    /// Prepared sums on a connection kept for so long.
    Report(Duration),
}

/// The plan: how many of which.
const CLIENTS: &[(Work, usize)] = &[
    (Work::Transfers, 5),
    (Work::Look, 2),
    (Work::Settlement, 1),
    (Work::Report(Duration::from_millis(2600)), 3),
    (Work::Report(Duration::ZERO), 1),
];

pub const COUNT: usize = {
    let (mut count, mut n) = (0, 0);
    while n < CLIENTS.len() {
        count += CLIENTS[n].1;
        n += 1;
    }
    count
};

impl Work {
    fn database(self) -> &'static str {
        match self {
            Self::Transfers | Self::Look | Self::Settlement => ORDERS,
            Self::Report(_) => REPORTS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Look => "balance",
            Self::Settlement => "settlement",
            Self::Report(_) => "report",
        }
    }

    /// The pause between two connections.
    fn pause(self) -> Duration {
        match self {
            Self::Look | Self::Report(Duration::ZERO) => Duration::from_millis(20),
            Self::Transfers | Self::Settlement | Self::Report(_) => Duration::from_millis(200),
        }
    }
}

struct Worker {
    work: Work,
    number: usize,
    tally: Arc<Tally>,
    host: PathBuf,
    port: u16,
    /// Counts rounds, so that no two workers do the same at the same time.
    round: u64,
}

/// Starts all clients, which work until [`Tally::end`].
pub fn start(endpoints: &Endpoints, tally: &Arc<Tally>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let plan = CLIENTS
        .iter()
        .flat_map(|(work, count)| std::iter::repeat_n(*work, *count));
    for (number, work) in plan.enumerate() {
        let worker = Worker {
            work,
            number,
            tally: tally.clone(),
            host: match work {
                // This client is recognised by its user, which only a unix socket tells.
                Work::Settlement => endpoints.socket.clone(),
                _ => PathBuf::from("127.0.0.1"),
            },
            port: endpoints.port,
            round: 0,
        };
        clients.spawn(worker.run());
    }
    clients
}

impl Worker {
    async fn run(mut self) {
        while !self.tally.is_over() {
            if let Err(e) = self.connection().await {
                self.tally.error(self.work.name(), &e);
            }
            sleep(self.work.pause()).await;
        }
    }

    /// One connection, from connect to goodbye.
    async fn connection(&mut self) -> Result<(), String> {
        let (mut client, connection) = patient(self.connect()).await?;
        self.tally.connected();
        let worked = match self.work {
            Work::Transfers => self.transfers(&mut client).await,
            Work::Look => self.look(&client).await,
            Work::Settlement => self.settlement(&mut client).await,
            Work::Report(hold) => self.report(&client, hold).await,
        };
        drop(client);
        // The end of the connection must be orderly, too.
        let ended = patient(async { connection.await.unwrap_or(Ok(())) }).await;
        worked.and(ended)
    }

    async fn connect(&self) -> Result<(Client, JoinHandle<Result<(), Error>>), Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(self.host.to_string_lossy())
            .port(self.port)
            .user("anybody")
            .dbname(self.work.database())
            .application_name(self.work.name())
            .connect(NoTls)
            .await?;
        Ok((client, tokio::spawn(connection)))
    }

    async fn transfers(&mut self, client: &mut Client) -> Result<(), String> {
        let ledger = patient(Ledger::prepare(client)).await?;
        while !self.tally.is_over() {
            let (one, other) = (self.account(), self.account());
            let began = Instant::now();
            let amount = i64::try_from(self.round % 500).unwrap_or(0) + 1;
            patient(async {
                let transaction = client.transaction().await?;
                // Accounts are locked in one order, so that no two transfers wait for each other.
                ledger
                    .transfer(&transaction, one.min(other), one.max(other), amount)
                    .await?;
                transaction.commit().await
            })
            .await?;
            self.tally.transferred(1);
            self.tally.timed_transaction(began);
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn look(&mut self, client: &Client) -> Result<(), String> {
        let account = self.account();
        let began = Instant::now();
        patient(async {
            let look = client
                .prepare("SELECT balance FROM account WHERE id = $1")
                .await?;
            client.query_one(&look, &[&account]).await
        })
        .await?;
        self.tally.timed_transaction(began);
        Ok(())
    }

    async fn settlement(&mut self, client: &mut Client) -> Result<(), String> {
        let ledger = patient(Ledger::prepare(client)).await?;
        while !self.tally.is_over() {
            patient(async {
                let transaction = client.transaction().await?;
                for account in ACCOUNTS - 9..ACCOUNTS {
                    ledger
                        .transfer(&transaction, account, account + 1, 1)
                        .await?;
                    sleep(Duration::from_millis(170)).await;
                }
                transaction.commit().await
            })
            .await?;
            self.tally.transferred(9);
            self.tally.transaction();
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn report(&mut self, client: &Client, hold: Duration) -> Result<(), String> {
        let until = Instant::now() + hold;
        let sum = "SELECT sum(balance)::bigint FROM account WHERE id % 10 = $1";
        let sum = patient(client.prepare(sum)).await?;
        loop {
            let part = self.account() % 10;
            let began = Instant::now();
            patient(client.query_one(&sum, &[&part])).await?;
            self.tally.timed_transaction(began);
            if self.tally.is_over() || Instant::now() >= until {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// One of the accounts that are not the settlement's. The multiplier
    /// scatters consecutive rounds (Knuth's multiplicative hash).
    fn account(&mut self) -> i32 {
        self.round += 1;
        let mixed = (self.round * 64 + self.number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        i32::try_from((mixed >> 33) % 100).unwrap_or(0) + 1
    }
}

struct Ledger {
    update: Statement,
    insert: Statement,
}

impl Ledger {
    async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            update: client
                .prepare("UPDATE account SET balance = balance + $2 WHERE id = $1")
                .await?,
            insert: client
                .prepare("INSERT INTO entry (debit, credit, amount) VALUES ($1, $2, $3)")
                .await?,
        })
    }

    async fn transfer(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        from: i32,
        to: i32,
        amount: i64,
    ) -> Result<(), Error> {
        transaction
            .execute(&self.update, &[&from, &-amount])
            .await?;
        transaction.execute(&self.update, &[&to, &amount]).await?;
        transaction
            .execute(&self.insert, &[&from, &to, &amount])
            .await?;
        Ok(())
    }
}

/// The outcome; the error is in words, also that there was no answer in time.
async fn patient<T>(what: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(PATIENCE, what).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(describe(&e)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// What the server said, which `tokio_postgres` calls just "db error".
pub fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
