//! A tokio-postgres client with the task that drives it.

use std::ops::Deref;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

/// Dropped, it hangs up without a goodbye, as a killed process does; see
/// [`Session::close`] for the polite way.
pub struct Session {
    client: Option<Client>,
    driver: JoinHandle<()>,
}

impl Session {
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (client, connection) = config.connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            // Its error reaches whoever has a query under way.
            let _ = connection.await;
        });
        Ok(Self {
            client: Some(client),
            driver,
        })
    }

    /// Sends Terminate and waits until the connection is closed.
    pub async fn close(mut self) {
        self.client = None;
        let _ = (&mut self.driver).await;
    }

    /// The first column of the first row, by the simple protocol.
    pub async fn value(&self, sql: &str) -> String {
        simple_value(self, sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    /// The first column of every row, by the simple protocol.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let messages = self
            .simple_query(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let value = |m| match m {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        messages.into_iter().filter_map(value).collect()
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("open until closed")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects with no password.
pub async fn connect(dsn: &str) -> Result<Session, Error> {
    Session::open(&dsn.parse::<Config>()?).await
}

/// The first column of the first row; an empty text for NULL or no row.
pub async fn simple_value(client: &Client, sql: &str) -> Result<String, Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        })
        .unwrap_or_default())
}

/// The fields of an error that a client is told: SQLSTATE, message, detail, hint. The ref of a
/// denial, which is another one each time, is left out.
pub fn told(error: &Error) -> (String, String, Option<String>, Option<String>) {
    let db = error
        .as_db_error()
        .unwrap_or_else(|| panic!("an ErrorResponse was expected, not {error:?}"));
    (
        db.code().code().to_owned(),
        match db.message().split_once(" (ref ") {
            Some((words, reference)) => {
                assert_eq!(reference.len(), "7f3a)".len(), "{reference}");
                words.to_owned()
            }
            None => db.message().to_owned(),
        },
        db.detail().map(str::to_owned),
        db.hint().map(str::to_owned),
    )
}
