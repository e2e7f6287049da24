//! Who may use what: rules from the users of PgBouncer, and secrets from their passwords.

use super::hba::Hba;
use super::ini::{Ini, User, pairs};
use super::tables::number_of;
use crate::cli::Failure;
use crate::cli::init::plan::{Plan, Table, credential};

/// Where clients come from, as long as nobody has said it.
const HERE: [&str; 2] = ["127.0.0.1", "::1"];

/// Gives the database that was added last its secret: that of the user in its connection string,
/// or of the first user who has a password.
pub(super) fn secret_of(name: &str, keys: &[(String, String)], users: &[User], plan: &mut Plan) {
    let own = |key: &str| {
        let found = keys.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    };
    let known = |user: &str| {
        let mut users = users.iter().filter(|u| u.name == user);
        users.find_map(|u| u.password.as_ref())
    };
    let secret = match own("user") {
        Some(user) => {
            let password = own("password").or_else(|| known(user).map(|p| p.as_str()));
            let value = password.map(|password| credential(user, password));
            plan.secret(name, value, &missing(user))
        }
        None => match users.iter().find(|u| u.password.is_some()) {
            Some(user) => of_user(user, plan),
            None => plan.secret(name, None, &missing("…")),
        },
    };
    if let Some(database) = plan.databases.last_mut() {
        database.text("secret", &secret);
        // It is what one looks for first.
        database.keys.rotate_right(1);
    }
}

fn missing(user: &str) -> String {
    format!("{{\"username\":\"{user}\",\"password\":\"…\"}} on standard input")
}

/// The secret of a user.
fn of_user(user: &User, plan: &mut Plan) -> String {
    let value = user.password.as_ref().map(|p| credential(&user.name, p));
    plan.secret(&user.name, value, &missing(&user.name))
}

/// A rule for each user; one for everybody, where no users are known. `hba`: from where they may
/// come.
pub(super) fn clients(
    ini: &Ini,
    users: &[User],
    hba: Option<&Hba>,
    plan: &mut Plan,
) -> Result<(), Failure> {
    // To a database with a user of its own, everybody logs in as that one.
    let (mut fixed, mut open) = (Vec::new(), Vec::new());
    for (name, text) in ini
        .section("databases")
        .iter()
        .filter(|(name, _)| name != "*")
    {
        let keys = pairs(text).map_err(|why| Failure::Usage(why.to_owned()))?;
        match keys.iter().any(|(key, _)| key == "user") {
            true => fixed.push(name.as_str()),
            false => open.push(name.as_str()),
        }
    }
    let admins = list(ini.global("admin_users"));
    let viewers = list(ini.global("stats_users"));
    for (names, right) in [(&admins, "true"), (&viewers, "\"read\"")] {
        for name in names {
            let mut rule = Table::client(name, &["The console: psql -d pgbouncer, or -d pgvalet."]);
            rule.list("network", HERE);
            rule.list("users", [*name]);
            rule.set("admin", right);
            plan.clients.push(rule);
        }
    }
    if users.is_empty() {
        let all: Vec<&str> = fixed.iter().chain(&open).copied().collect();
        for (networks, databases) in by_network(hba, None, &all, plan) {
            let mut rule = Table::client("local", &[WHERE]);
            rule.list("network", networks.iter().map(String::as_str));
            rule.list("databases", databases);
            limits(&mut rule, "", ini);
            plan.clients.push(rule);
        }
    }
    for user in users {
        let secret = (!open.is_empty()).then(|| of_user(user, plan));
        for (databases, secret) in [(&open, secret.as_deref()), (&fixed, None)] {
            for (networks, databases) in by_network(hba, Some(&user.name), databases, plan) {
                let mut rule = Table::client(&user.name, &[WHERE]);
                rule.list("network", networks.iter().map(String::as_str));
                rule.list("users", [user.name.as_str()]);
                rule.list("databases", databases);
                if let Some(secret) = secret {
                    rule.text("secret", secret);
                }
                limits(&mut rule, &user.name, ini);
                plan.clients.push(rule);
            }
        }
    }
    Ok(())
}

/// The databases that a user may use, by the networks that the user may come from.
fn by_network<'a>(
    hba: Option<&Hba>,
    user: Option<&str>,
    databases: &[&'a str],
    plan: &mut Plan,
) -> Vec<(Vec<String>, Vec<&'a str>)> {
    let here = || HERE.map(ToOwned::to_owned).to_vec();
    let mut groups: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for database in databases {
        let networks = match hba.map(|hba| hba.places(user, database)) {
            None => here(),
            Some(places) if places.networks.is_empty() && !places.everywhere => {
                let who = user.map_or_else(String::new, |user| format!("{user} "));
                plan.notes.push(format!(
                    "No rule lets {who}into {database}: auth_hba_file names no network for that."
                ));
                continue;
            }
            // Everybody is nobody in particular: a person has to say who that is.
            Some(places) if places.everywhere => {
                let mut networks = here();
                networks.extend(places.networks);
                networks
            }
            Some(places) => places.networks,
        };
        match groups.iter_mut().find(|(known, _)| *known == networks) {
            Some((_, databases)) => databases.push(database),
            None => groups.push((networks, vec![database])),
        }
    }
    groups
}

const WHERE: &str = "Whoever comes from these addresses: name the networks of your applications, or see unix_user and certificate.";

/// How many sessions and server connections the clients of a user may have.
fn limits(rule: &mut Table, user: &str, ini: &Ini) {
    let own = ini.section("users").iter().find(|(name, _)| name == user);
    let own = own
        .and_then(|(_, text)| pairs(text).ok())
        .unwrap_or_default();
    let value = |key: &str| {
        let found = own.iter().find(|(known, _)| known == key);
        let value = found.map(|(_, value)| value.as_str()).or(ini.global(key));
        value.filter(|value| *value != "0")
    };
    let size = value("max_user_connections").or_else(|| {
        let found = own.iter().find(|(known, _)| known == "pool_size");
        found.map(|(_, value)| value.as_str())
    });
    number_of(rule, size, "pool_size");
    number_of(rule, value("max_user_client_connections"), "max_clients");
}

/// A list with commas.
fn list(text: Option<&str>) -> Vec<&str> {
    let names = text.unwrap_or_default().split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).collect()
}
