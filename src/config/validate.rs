//! Turns the file as written into a [`Config`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::administrators::administrators;
use super::changes::Written;
use super::database::database;
use super::error::{ConfigError, ConfigErrors};
use super::problems::Problems;
use super::section::Section;
use super::settings::settings;
use super::{Config, Listen, Stores, admin, audit_log, fleet, listen, rotation, rules, stores};
use crate::access::{Rule, is_console};
use crate::pool::Database;
use crate::rotation::Rotation;

/// Reads and checks a configuration file.
///
/// # Errors
/// There is no such file, it cannot be read, or something in it is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    Ok(parse(&read(path)?, path)?)
}

/// Reads a configuration file for a command that only needs to find the running proxy. Where the
/// file has mistakes, what can be read of it is returned with them; a misspelt key is taken for
/// the one that it probably means.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn load_in_part(path: &Path) -> Result<(Config, Option<ConfigErrors>), ConfigError> {
    let text = read(path)?;
    let mistakes = match parse(&text, path) {
        Ok(config) => return Ok((config, None)),
        Err(mistakes) => mistakes,
    };
    let mut problems = Problems::new(&text, path);
    // The proxy read the file before the mistake was made in it.
    problems.guesses = true;
    Ok((config(Section::of_what_is_left(&problems)), Some(mistakes)))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
        _ => ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        },
    })
}

/// Checks the text of a configuration. `file` is what messages call it, and relative paths
/// begin in its directory.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigErrors> {
    let problems = Problems::new(text, file);
    let config = Section::document(&problems).map(config);
    let config = problems.into_result(config)?;
    Ok(Config {
        settings: settings(text).into(),
        written: Written::of(text),
        ..config
    })
}

fn config(mut document: Section<'_, '_>) -> Config {
    let listen = listen::listen(document.section("listen"));
    let admin = admin::admin(document.section("admin"));
    let stores = stores::stores(&mut document);
    let audit = audit_log::audit(document.section("audit"));
    let (databases, rotations) = databases(&mut document, &stores);
    // A file may be there for nothing but the store.
    let is_served = stores.iter().any(|(_, store)| store.listen.is_some());
    if databases.is_empty() && !is_served {
        document.wrong("there is no database; add a table [database.NAME] with its secret");
    }
    let clients = clients(&mut document, &databases, &listen);
    let admin_secrets = Arc::new(administrators(&mut document));
    let fleet = document.inner("fleet").and_then(fleet::fleet);
    let workers = workers(document.section("runtime"));
    document.finish();
    Config {
        listen,
        admin,
        stores,
        audit,
        databases,
        rotations,
        clients,
        fleet,
        workers,
        settings: Arc::default(),
        admin_secrets,
        written: Written::default(),
    }
}

/// `[runtime]`.
fn workers(mut section: Section<'_, '_>) -> Option<usize> {
    let workers = section.number("workers");
    section.finish();
    workers
}

type Databases = BTreeMap<Arc<str>, Arc<Database>>;

/// Every `[database.NAME]`, and the rotation of those that have one.
fn databases(
    document: &mut Section<'_, '_>,
    stores: &Stores,
) -> (Databases, BTreeMap<Arc<str>, Rotation>) {
    let mut databases = Databases::new();
    let mut rotations = BTreeMap::new();
    let mut rotated = BTreeMap::new();
    for (name, section) in document.named("database") {
        let at = section.at();
        if is_console(&name) {
            let message =
                format!("{name:?} is the name of the console; call the database something else");
            document.problems.add(&at, message);
        }
        let (mut database, rotation) = database(name.into(), section);
        let store = stores.of(&database.secret);
        let own = store.and_then(|store| store.kind.own_database().cloned());
        Arc::make_mut(&mut database.upstream).store = own;
        if let Some(rotation) = rotation {
            rotation::once(&database, &mut rotated, &at, document.problems);
            rotations.insert(database.name().clone(), rotation);
        }
        databases.insert(database.name().clone(), Arc::new(database));
    }
    (databases, rotations)
}

/// Every `[[client]]`, in the order of the file.
fn clients(
    document: &mut Section<'_, '_>,
    databases: &Databases,
    listen: &Listen,
) -> Vec<Arc<Rule>> {
    let names: Vec<Arc<str>> = databases.keys().cloned().collect();
    let rules = document.array("client").into_iter().zip(1..);
    rules
        .map(|(section, rule)| Arc::new(rules::client(rule, section, &names, listen)))
        .collect()
}
