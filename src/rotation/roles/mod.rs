//! Alternating users: which roles take turns, and what makes the one that takes
//! over like the one that leaves.

mod differences;
mod role;

use super::error::{RotationError, SqlError};
use super::password::Stated;
use super::sql::{Session, identifier, literal};
use differences::differences;
use role::Role;

/// The longest name of a role in bytes (NAMEDATALEN - 1): Postgres cuts off the rest.
pub const LONGEST_NAME: usize = 63;
/// The ending that the rotation templates of AWS give the alternate of a user.
pub const CLONE: &str = "_clone";

/// The user that takes turns with this one.
///
/// # Errors
/// [`RotationError::LongName`].
pub fn alternate(user: &str) -> Result<String, RotationError> {
    match user.strip_suffix(CLONE) {
        Some(original) if !original.is_empty() => Ok(original.to_owned()),
        _ if user.len() + CLONE.len() > LONGEST_NAME => {
            Err(RotationError::LongName(user.to_owned()))
        }
        _ => Ok(format!("{user}{CLONE}")),
    }
}

/// Whether the database shows that two roles take turns: one is a member of the
/// other, or both are set to the same owner. True as well where the second role
/// does not exist yet.
pub async fn take_turns(
    session: &mut Session,
    source: &str,
    target: &str,
) -> Result<bool, SqlError> {
    let (a, b) = (literal(source), literal(target));
    let sql = format!(
        "SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = {b})
         OR EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                    JOIN pg_roles u ON u.oid = m.member
                    WHERE (r.rolname, u.rolname) IN (({a}, {b}), ({b}, {a})))
         OR EXISTS (SELECT 1 FROM pg_roles x, pg_roles y, pg_roles o,
                           pg_auth_members mx, pg_auth_members my
                    WHERE x.rolname = {a} AND y.rolname = {b}
                      AND mx.member = x.oid AND mx.roleid = o.oid
                      AND my.member = y.oid AND my.roleid = o.oid
                      AND 'role=' || o.rolname = ANY (x.rolconfig)
                      AND 'role=' || o.rolname = ANY (y.rolconfig))"
    );
    let answer = session.value("looking at the roles", &sql).await?;
    Ok(answer == "t")
}

/// What was done to the role that takes over.
pub struct Prepared {
    pub created: bool,
    /// Statements beyond the password.
    pub changes: usize,
}

/// Makes the role `target`, which takes over, like `source`, which leaves, and
/// gives it a password (`None`: it has the right one already). All of it is one
/// transaction.
///
/// Where `source` has the setting `role` (two logins, one owner), `target`
/// becomes a member of the same owner with the same setting. Otherwise it
/// becomes a member of `source`, as the rotation templates of AWS do it.
pub async fn take_over(
    session: &mut Session,
    source: &str,
    target: &str,
    password: Option<&Stated>,
) -> Result<Prepared, RotationError> {
    let Some(model) = Role::read(session, source).await? else {
        return Err(SqlError::Refused {
            doing: "looking at the roles",
            sqlstate: "42704".to_owned(),
            message: format!("there is no role {}", identifier(source)),
            hint: "",
        }
        .into());
    };
    let existing = Role::read(session, target).await?;
    let created = existing.is_none();
    let role = existing.unwrap_or_else(Role::created);
    if role.superuser != model.superuser && !created {
        let (yes, no) = match role.superuser {
            true => (target, source),
            false => (source, target),
        };
        return Err(RotationError::Superuser(yes.to_owned(), no.to_owned()));
    }
    let changes = differences(&model, source, &role, target);
    let mut sql = String::new();
    let clause = password.map_or_else(String::new, Stated::clause);
    match created {
        true => sql += &format!("CREATE ROLE {} LOGIN {clause}; ", identifier(target)),
        false if password.is_some() => {
            sql += &format!("ALTER ROLE {} {clause}; ", identifier(target));
        }
        false => {}
    }
    for change in &changes {
        sql += change;
        sql += "; ";
    }
    if !sql.is_empty() {
        session.ask("preparing the alternate user", &sql).await?;
    }
    Ok(Prepared {
        created,
        changes: changes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_take_turns() {
        for (user, other) in [
            ("app", "app_clone"),
            ("app_clone", "app"),
            ("_clone", "_clone_clone"),
            ("App Ü", "App Ü_clone"),
        ] {
            assert_eq!(alternate(user).ok().as_deref(), Some(other));
        }
        let longest = "x".repeat(LONGEST_NAME - CLONE.len());
        assert_eq!(
            alternate(&longest).ok().map(|n| n.len()),
            Some(LONGEST_NAME)
        );
        assert!(alternate(&format!("{longest}x")).is_err());
        // It counts bytes.
        assert!(alternate(&"ü".repeat(29)).is_err());
    }
}
