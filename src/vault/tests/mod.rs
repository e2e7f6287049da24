//! The rules on a store in memory with a clock of its own ([`Memory`]), and
//! the store as processes find it on disk.

mod disk;
mod model;
mod on_postgres;
mod rules;

use zeroize::Zeroizing;

use super::shared;
use super::storage::{self, Opened};
use super::tx::{Millis, Tx};
use super::{Value, VaultError, labels, secrets, versions};
use crate::secret::{Description, VersionId};

struct Memory {
    file: Opened,
    now: Millis,
}

fn text(value: &str) -> Value {
    Value::Text(Zeroizing::new(value.to_owned()))
}

/// A token of the shortest length that is allowed.
fn token(n: u32) -> String {
    format!("{n:032}")
}

fn create(
    tx: &Tx<'_>,
    name: &str,
    description: Option<&str>,
    value: &Value,
    token: Option<&str>,
) -> Result<VersionId, VaultError> {
    let new = secrets::New {
        name,
        description,
        value: Some(value),
        token,
        ..Default::default()
    };
    secrets::create(tx, &new).map(|(_, version)| version.unwrap())
}

fn get(
    tx: &Tx<'_>,
    id: &str,
    version: Option<&str>,
    stage: Option<&str>,
) -> Result<versions::Version, VaultError> {
    versions::get(tx, &secrets::find_live(tx, id)?, version, stage)
}

impl Memory {
    fn new() -> Self {
        Self {
            file: on_postgres::store().unwrap_or_else(storage::in_memory),
            now: 1_700_000_000_000,
        }
    }

    fn tx<T>(
        &mut self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut writer = self.file.storage.writer();
        let tx = Tx::new(writer.writing()?, &self.file.master, self.now);
        shared::perform(tx, operation)
    }

    fn create(&mut self, name: &str, value: &str, n: u32) -> Result<VersionId, VaultError> {
        self.tx(|tx| create(tx, name, None, &text(value), Some(&token(n))))
    }

    fn put(
        &mut self,
        id: &str,
        value: &str,
        stages: &[&str],
        n: u32,
    ) -> Result<VersionId, VaultError> {
        let stages: Vec<String> = stages.iter().map(|&s| s.to_owned()).collect();
        self.tx(|tx| {
            let secret = secrets::find_live(tx, id)?;
            versions::put(tx, &secret, &text(value), &stages, Some(&token(n)))
        })
    }

    fn stage(
        &mut self,
        id: &str,
        label: &str,
        to: Option<u32>,
        from: Option<u32>,
    ) -> Result<(), VaultError> {
        let (to, from) = (to.map(token), from.map(token));
        self.tx(|tx| {
            let secret = secrets::find_live(tx, id)?;
            labels::update(tx, &secret, label, to.as_deref(), from.as_deref())
        })
    }

    fn get(&mut self, id: &str, stage: &str) -> Result<String, VaultError> {
        self.tx(|tx| match get(tx, id, None, Some(stage))?.value {
            Value::Text(text) => Ok(text.to_string()),
            Value::Binary(_) => panic!("text was put"),
        })
    }

    fn describe(&mut self, id: &str) -> Result<Description, VaultError> {
        self.tx(|tx| secrets::describe(tx, id))
    }

    fn staged(&mut self, id: &str, label: &str) -> Option<String> {
        let description = self.describe(id).unwrap();
        description
            .version_with(label)
            .map(|v| v.as_str().to_owned())
    }
}
