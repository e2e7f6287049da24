//! Noticing what other processes have committed: the server tells of each commit
//! (NOTIFY), and the number of the last one is asked now and then.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::Notification;

use super::ServerError;
use super::endpoint::{Endpoint, Link};
use crate::base::jitter::Backoff;

/// How often the number of the last commit is asked: a message may have been lost, and a
/// connection that is lost is noticed by it.
const POLL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before connecting again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Listens until it is aborted.
pub async fn follow(endpoint: Arc<Endpoint>) {
    let mut backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
    let mut again = false;
    loop {
        let Err(error) = listen(&endpoint, again, &mut backoff).await;
        tracing::warn!("the store {}: {error}; connecting again", endpoint.url);
        again = true;
        sleep(backoff.wait()).await;
    }
}

async fn listen(
    endpoint: &Endpoint,
    again: bool,
    backoff: &mut Backoff,
) -> Result<Infallible, ServerError> {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let link = endpoint.link(Some(sender)).await?;
    let channel = escape_identifier(&super::channel(&endpoint.url.schema));
    within(link.client.batch_execute(&format!("LISTEN {channel}"))).await?;
    // Nobody has told what happened while nobody listened. Numbers say nothing across a
    // failover, so that everything is looked at.
    look(endpoint, &link).await?;
    if again {
        tracing::info!("the store {} tells of changes again", endpoint.url);
        endpoint.others_committed();
    }
    loop {
        match timeout(POLL, heard.recv()).await {
            Ok(Some(notification)) => note(endpoint, &notification),
            Ok(None) => return Err(ServerError::Lost),
            Err(_) => look(endpoint, &link).await?,
        }
        backoff.reset();
    }
}

/// Asks which commit was the last one.
async fn look(endpoint: &Endpoint, link: &Link) -> Result<(), ServerError> {
    let row = within(link.client.query_one("SELECT commits FROM store", &[])).await?;
    let number: i64 = row.try_get(0)?;
    if endpoint.last_commit.swap(number, Ordering::SeqCst) != number {
        endpoint.others_committed();
    }
    Ok(())
}

fn note(endpoint: &Endpoint, notification: &Notification) {
    let told = notification.payload().split_once(' ');
    let Some((number, instance)) = told else {
        return;
    };
    if instance == endpoint.instance {
        return;
    }
    if let Ok(number) = number.parse() {
        endpoint.last_commit.fetch_max(number, Ordering::SeqCst);
    }
    endpoint.others_committed();
}

async fn within<T>(
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ServerError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ServerError::Silent(PATIENCE.as_secs())),
    }
}
