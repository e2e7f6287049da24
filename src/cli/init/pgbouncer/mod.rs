//! A plan from the files of PgBouncer: `pgbouncer.ini`, and the users in `auth_file`.
//!
//! * `ini`    the files as they are written
//! * `hba`    `auth_hba_file`
//! * `keys`   every key of PgBouncer, and what becomes of it
//! * `tables` keys of ours from keys of PgBouncer
//! * `page`   docs/FROM-PGBOUNCER.md
//! * `rules`  who may use what, and the secrets
//! * `values` values that become nothing, or something else

mod hba;
mod ini;
pub mod keys;
mod page;
mod rules;
mod tables;
mod values;

use std::path::Path;

pub use page::page;

use hba::Hba;
use ini::{Ini, User, beside, pairs, users};
use keys::Becomes;

use super::plan::Plan;
use crate::cli::Failure;

/// What a configuration of PgBouncer becomes.
///
/// # Errors
/// A file cannot be read, or says what PgBouncer does not understand.
pub(super) fn plan(file: &Path, userlist: Option<&Path>) -> Result<Plan, Failure> {
    let ini = Ini::read(file)?;
    if ini.section("databases").is_empty() {
        return Err(Failure::Usage(format!(
            "{} has no [databases]; is it a pgbouncer.ini?",
            file.display()
        )));
    }
    let mut plan = Plan::default();
    let users = known_users(&ini, file, userlist, &mut plan)?;
    plan.head.push(tables::listen(&ini, &mut plan.port));
    plan.keep_here();
    for (name, text) in ini.section("databases") {
        let keys = pairs(text)
            .map_err(|why| Failure::Usage(format!("{}: {name}: {why}", file.display())))?;
        if name == "*" {
            plan.notes.push("There is no database *: each one is written. Add a [database.NAME] for those that clients ask for beside these.".to_owned());
        } else {
            plan.databases.push(tables::database(name, &keys, &ini));
            rules::secret_of(name, &keys, &users, &mut plan);
        }
    }
    if plan.databases.is_empty() {
        return Err(Failure::Usage(format!(
            "{} has only the database *, and pgvalet needs to know each by its name; write one into [databases]",
            file.display()
        )));
    }
    let hba = lines(&ini, file, &mut plan);
    rules::clients(&ini, &users, hba.as_ref(), &mut plan)?;
    left_out(&ini, &mut plan);
    plan.notes.push(
        "PgBouncer asked clients for a password; pgvalet knows them by where they come from, or by more: look at each network in the file.".to_owned(),
    );
    Ok(plan)
}

/// The users in `auth_file`, or in the file that was named instead.
fn known_users(
    ini: &Ini,
    file: &Path,
    userlist: Option<&Path>,
    plan: &mut Plan,
) -> Result<Vec<User>, Failure> {
    let named = ini.global("auth_file").map(|path| beside(file, path));
    let Some(path) = userlist.map(Path::to_owned).or(named) else {
        return Ok(Vec::new());
    };
    match users(&path) {
        Ok(users) => Ok(users),
        // Without it, the file can still be made.
        Err(Failure::Failed(why)) if userlist.is_none() => {
            plan.notes
                .push(format!("auth_file: {why}; --userlist names it"));
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// What `auth_hba_file` says, which counts with `auth_type = hba` alone.
fn lines(ini: &Ini, file: &Path, plan: &mut Plan) -> Option<Hba> {
    let path = ini.global("auth_hba_file")?;
    if ini.global("auth_type") != Some("hba") {
        plan.notes
            .push("auth_hba_file is left out: PgBouncer reads it with auth_type = hba.".to_owned());
        return None;
    }
    match Hba::read(&beside(file, path)) {
        Ok(mut hba) => {
            plan.notes.append(&mut hba.notes);
            Some(hba)
        }
        // Without it, the file can still be made.
        Err(why) => {
            plan.notes.push(format!("auth_hba_file: {why}."));
            None
        }
    }
}

/// Says of each key that has no counterpart why, and of each value that becomes nothing.
fn left_out(ini: &Ini, plan: &mut Plan) {
    let mut note = |section: &str, name: &str, value: &str, whose: &str| {
        let text = match keys::find(section, name).map(|key| &key.becomes) {
            Some(Becomes::Ours { .. }) => match values::doubtful(ini, name, value) {
                Some(why) => format!("{whose}{name} = {value}: {why}."),
                None => return,
            },
            Some(Becomes::Nothing(why)) => format!("{whose}{name} is left out: {why}."),
            None => format!("{whose}{name} is left out: PgBouncer 1.25 has no such key."),
        };
        let text = text.replace('`', "");
        if !plan.notes.contains(&text) {
            plan.notes.push(text);
        }
    };
    for (name, value) in ini.section("pgbouncer") {
        note("pgbouncer", name, value, "");
    }
    for section in ["databases", "users", "peers"] {
        for (whose, text) in ini.section(section) {
            for (name, value) in pairs(text).unwrap_or_default() {
                note(section, &name, &value, &format!("{whose}: "));
            }
        }
    }
}

#[cfg(test)]
mod tests;
