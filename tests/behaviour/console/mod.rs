//! The console: `psql -d pgvalet`.

mod actions;
mod drivers;
mod pgbouncer;
mod refused;
mod rights;
mod show;

use std::time::Duration;

use tokio_postgres::{Error, SimpleQueryMessage};

use crate::common::{Cluster, Proxy, Session, connect, eventually, new_password};

/// Databases `app` and `other`; over TCP, `dba` may change things in the console, `viewer`
/// look, and everybody else use the databases.
async fn proxy(more: &str) -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let body = format!("secret = \"app\"\n{more}");
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("app", &body)
        .database("other", &body)
        .client("name = \"dba\"\nnetwork = \"127.0.0.0/8\"\nusers = \"dba\"\nadmin = true")
        .client(
            "name = \"viewer\"\nnetwork = \"127.0.0.0/8\"\nusers = \"viewer\"\nadmin = \"read\"",
        )
        .client("name = \"api\"\nnetwork = \"127.0.0.0/8\"\ndatabases = [\"app\", \"other\"]")
        .start()
        .await;
    (cluster, proxy)
}

async fn console(proxy: &Proxy) -> Session {
    let console = connect(&proxy.dsn_as("dba", "pgvalet")).await;
    console.unwrap_or_else(|e| panic!("{e:?}\n{}", proxy.log()))
}

/// One column of what SHOW answers.
async fn column(console: &Session, show: &str, name: &str) -> Vec<String> {
    try_column(console, show, name)
        .await
        .unwrap_or_else(|e| panic!("{show}: {e:?}"))
}

async fn try_column(console: &Session, show: &str, name: &str) -> Result<Vec<String>, Error> {
    let messages = console.simple_query(show).await?;
    let value = |m: &SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(row) => Some(row.get(name).unwrap_or_default().to_owned()),
        _ => None,
    };
    Ok(messages.iter().filter_map(value).collect())
}

/// Waits until SHOW POOLS has this in a column of `app`.
async fn pool_has(console: &Session, name: &str, value: &str) {
    let what = format!("{name} is {value}");
    eventually(&what, Duration::from_secs(10), || async {
        let found = column(console, "SHOW POOLS app", name).await;
        (found == [value]).then_some(())
    })
    .await;
}
