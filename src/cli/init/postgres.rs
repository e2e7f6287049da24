//! A plan from a Postgres that runs: its databases, and how many connections it has for a pooler.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::Host;
use zeroize::Zeroizing;

use super::ask;
use super::plan::{Plan, Table, credential};
use crate::cli::Failure;
use crate::config;
use crate::secret::{Credential, SecretId, SecretValue, VersionId};
use crate::upstream::{self, LoginCache, Target};

/// How long a login may take.
const LIMIT: Duration = Duration::from_secs(15);

/// The databases that a role may use, and the connections that are left to others than superusers.
const QUESTIONS: [&str; 2] = [
    "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate \
     AND pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY datname",
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int",
];

/// Where the server is, and as whom to log in.
struct Place {
    host: String,
    port: u16,
    user: String,
    dbname: Option<String>,
}

pub(super) async fn plan(url: &str, out: &mut dyn Write) -> Result<Plan, Failure> {
    let place = place(url)?;
    let password = password(&place, out)?;
    let found = look(&place, &password).await?;
    let names = match &place.dbname {
        Some(name) => vec![name.clone()],
        None => found.databases,
    };
    if names.is_empty() {
        return Err(Failure::Failed(format!(
            "{} may connect to no database of {}",
            place.user, place.host
        )));
    }
    let mut plan = Plan::default();
    let mut listen = Table::new(
        "[listen]",
        &[
            "Where clients connect. For other machines, write 0.0.0.0:6432, and give a certificate and key.",
        ],
    );
    listen.list("address", ["127.0.0.1:6432"]);
    plan.port = Some(6432);
    plan.head.push(listen);
    plan.keep_here();
    let value = credential(&place.user, &password);
    let secret = plan.secret(&place.user, Some(value), "");
    // Half of what there is, shared out: the server has other users, too.
    let share = (found.connections / 2 / names.len().max(1)).clamp(1, 20);
    for name in &names {
        let mut database = Table::database(name, &[]);
        database.text("secret", &secret);
        database.text("host", &place.host);
        database.set("port", place.port.to_string());
        if share < 20 {
            database.set("pool_size", share.to_string());
        }
        plan.databases.push(database);
    }
    let mut client = Table::client(
        "local",
        &[
            "Who may use them: here, every program of this machine. Name the networks of your applications, or",
            "recognise them by unix_user, loopback_user, certificate or token; `pgvalet explain` says which rule decides.",
        ],
    );
    client.list("network", ["127.0.0.1", "::1"]);
    client.list("databases", names.iter().map(String::as_str));
    plan.clients.push(client);
    if found.connections > 0 {
        plan.notes.push(format!(
            "The server has {} connections for others than superusers; pool_size of all databases together should leave some.",
            found.connections
        ));
    }
    Ok(plan)
}

/// What the URL says.
fn place(url: &str) -> Result<Place, Failure> {
    let wrong = |why: String| {
        Failure::Usage(format!(
            "--from: {why}; write it as postgres://USER@HOST:PORT/DATABASE"
        ))
    };
    let read: tokio_postgres::Config = url
        .parse()
        .map_err(|e: tokio_postgres::Error| wrong(e.to_string()))?;
    if read.get_password().is_some() {
        return Err(Failure::Usage(
            "--from: every user of this machine can see the password in an argument; leave it out, and put it into PGPASSWORD or type it when it is asked for".to_owned(),
        ));
    }
    let host = match read.get_hosts() {
        [Host::Tcp(host)] => host.clone(),
        #[cfg(unix)]
        [Host::Unix(path)] => path.display().to_string(),
        [] => return Err(wrong("there is no host".to_owned())),
        _ => return Err(wrong("there are several hosts".to_owned())),
    };
    let user = read
        .get_user()
        .ok_or_else(|| wrong("there is no user".to_owned()))?;
    Ok(Place {
        host,
        port: read.get_ports().first().copied().unwrap_or(5432),
        user: user.to_owned(),
        dbname: read.get_dbname().map(str::to_owned),
    })
}

fn password(place: &Place, out: &mut dyn Write) -> Result<Zeroizing<String>, Failure> {
    if let Ok(password) = std::env::var("PGPASSWORD") {
        return Ok(Zeroizing::new(password));
    }
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Failure::Usage(format!(
            "the password of {} is missing; put it into PGPASSWORD",
            place.user
        )));
    }
    let question = format!("Password of {} at {}", place.user, place.host);
    ask::password(&question, &mut input.lock(), out)
}

/// What the server says of itself.
struct Found {
    databases: Vec<String>,
    connections: usize,
}

/// Logs in as the proxy will.
async fn look(place: &Place, password: &str) -> Result<Found, Failure> {
    let mut database = Table::database("postgres", &[]);
    database.text("secret", "s");
    database.text("host", &place.host);
    database.set("port", place.port.to_string());
    if let Some(name) = &place.dbname {
        database.text("dbname", name);
    }
    let mut plan = Plan::default();
    plan.databases.push(database);
    let parsed = config::parse(&plan.text(), "--from".as_ref());
    let config = parsed.map_err(|e| Failure::Usage(e.to_string()))?;
    let failed = |why: String| Failure::Failed(format!("{}: {why}", place.host));
    let database = config.databases.values().next();
    let database = database.ok_or_else(|| failed("no database".to_owned()))?;
    let id = SecretId::new("s");
    let value = SecretValue {
        arn: "s".into(),
        name: "s".into(),
        version: VersionId::new(""),
        stages: Vec::new(),
        created: None,
        value: credential(&place.user, password),
    };
    let credential = Credential::parse(&id, &value).map_err(|e| failed(e.to_string()))?;
    let target = Target::resolve(&database.upstream, &credential);
    let target = Arc::new(target.map_err(|e| failed(e.to_string()))?);
    let cache = LoginCache::default();
    let connected = upstream::connect(&target, &credential, &cache, LIMIT).await;
    let mut server = connected.map_err(|e| Failure::Failed(e.to_string()))?;
    let answers = server.exchange(&QUESTIONS).await;
    let answers = answers.map_err(|e| failed(e.to_string()))?;
    server.close().await;
    let mut rows = answers.rows.into_iter();
    let mut first = || {
        let rows = rows.next().unwrap_or_default();
        let cells = rows.into_iter().filter_map(|row| row.into_iter().next());
        cells.collect::<Vec<String>>()
    };
    let databases = first();
    let connections = first().first().and_then(|n| n.parse().ok());
    Ok(Found {
        databases,
        connections: connections.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_read_and_a_password_in_it_is_refused() {
        let place = |url: &str| place(url).map_err(|e| e.to_string());
        let read = place("postgres://app@db.example.org/orders").expect("read");
        assert_eq!(
            (read.host.as_str(), read.port, read.user.as_str()),
            ("db.example.org", 5432, "app")
        );
        assert_eq!(read.dbname.as_deref(), Some("orders"));
        let said = place("postgres://app:hunter2@db/orders")
            .err()
            .expect("refused");
        assert!(
            said.contains("PGPASSWORD") && !said.contains("hunter2"),
            "{said}"
        );
        for wrong in ["postgres://db/orders", "postgres://app@/orders"] {
            let said = place(wrong).err().expect("refused");
            assert!(said.contains("postgres://USER@HOST"), "{said}");
        }
    }
}
