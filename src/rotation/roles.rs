//! What a rotation does to roles: a password, and for alternating users the
//! role that takes over, brought in line with the one that leaves.

use super::error::{RotationError, SqlError};
use super::password::Stated;
use super::sql::{Session, identifier, literal};

/// Names are cut off after this (NAMEDATALEN - 1).
pub const LONGEST_NAME: usize = 63;
/// How the templates of AWS name the alternate of a user.
pub const CLONE: &str = "_clone";

/// The user that takes turns with this one.
pub fn alternate(user: &str) -> Result<String, RotationError> {
    match user.strip_suffix(CLONE) {
        Some(original) if !original.is_empty() => Ok(original.to_owned()),
        _ if user.len() + CLONE.len() > LONGEST_NAME => {
            Err(RotationError::LongName(user.to_owned()))
        }
        _ => Ok(format!("{user}{CLONE}")),
    }
}

/// No login as this user works any more, with whatever password.
pub async fn disable_password(session: &mut Session, user: &str) -> Result<(), SqlError> {
    let sql = format!("ALTER ROLE {} PASSWORD NULL", identifier(user));
    session
        .ask("taking the old user's password", &sql)
        .await
        .map(|_| ())
}

/// Sessions of a user that logged in before an instant of the server (all of
/// them without one), ended; how many.
pub async fn terminate(
    session: &mut Session,
    user: &str,
    before: Option<&str>,
) -> Result<usize, SqlError> {
    let older = before.map_or_else(String::new, |t| {
        format!("AND backend_start < {}::timestamptz", literal(t))
    });
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
         WHERE usename = {} AND pid <> pg_catalog.pg_backend_pid() {older}",
        literal(user)
    );
    let rows = session.ask("ending the old sessions", &sql).await?;
    Ok(rows
        .iter()
        .filter(|row| row.first().is_some_and(|t| t == "t"))
        .count())
}

/// How many such sessions there are.
pub async fn count(
    session: &mut Session,
    user: &str,
    before: Option<&str>,
) -> Result<usize, SqlError> {
    let older = before.map_or_else(String::new, |t| {
        format!("AND backend_start < {}::timestamptz", literal(t))
    });
    let sql = format!(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity
         WHERE usename = {} AND pid <> pg_catalog.pg_backend_pid() {older}",
        literal(user)
    );
    let count = session.value("counting the old sessions", &sql).await?;
    Ok(count.parse().unwrap_or(0))
}

/// Whether two roles are known to take turns: one is a member of the other, or
/// both work as the same owner. Also where there is no second one yet.
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

/// Attributes of a role, in the order in which they are asked for.
const ATTRIBUTES: [(&str, &str); 6] = [
    ("rolinherit", "INHERIT"),
    ("rolcreatedb", "CREATEDB"),
    ("rolcreaterole", "CREATEROLE"),
    ("rolreplication", "REPLICATION"),
    ("rolbypassrls", "BYPASSRLS"),
    ("rolcanlogin", "LOGIN"),
];

/// A role as the catalogs have it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Role {
    superuser: bool,
    attributes: Vec<bool>,
    connection_limit: String,
    valid_until: String,
    /// Roles it is a member of, and whether it may grant them on.
    member_of: Vec<(String, bool)>,
    /// Database (empty: all), name, value.
    settings: Vec<(String, String, String)>,
}

impl Role {
    async fn read(session: &mut Session, name: &str) -> Result<Option<Self>, SqlError> {
        let doing = "looking at the roles";
        let columns = ATTRIBUTES.map(|(column, _)| column).join(", ");
        let sql = format!(
            "SELECT rolsuper, rolconnlimit, coalesce(rolvaliduntil::text, 'infinity'), {columns}
             FROM pg_roles WHERE rolname = {}",
            literal(name)
        );
        let rows = session.ask(doing, &sql).await?;
        let Some([superuser, limit, until, attributes @ ..]) = rows.first().map(Vec::as_slice)
        else {
            return Ok(None);
        };
        let mut role = Self {
            superuser: superuser == "t",
            attributes: attributes.iter().map(|a| a == "t").collect(),
            connection_limit: limit.clone(),
            valid_until: until.clone(),
            ..Self::default()
        };
        // From 16 on there may be a row for each grantor.
        let sql = format!(
            "SELECT r.rolname, bool_or(m.admin_option) FROM pg_auth_members m
             JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles me ON me.oid = m.member
             WHERE me.rolname = {} GROUP BY r.rolname ORDER BY r.rolname",
            literal(name)
        );
        for row in session.ask(doing, &sql).await? {
            if let [role_name, admin] = &row[..] {
                role.member_of.push((role_name.clone(), admin == "t"));
            }
        }
        let sql = format!(
            "SELECT coalesce(d.datname, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
             FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
             LEFT JOIN pg_database d ON d.oid = s.setdatabase, LATERAL unnest(s.setconfig) AS c
             WHERE r.rolname = {} ORDER BY 1, 2",
            literal(name)
        );
        for row in session.ask(doing, &sql).await? {
            if let [database, name, value] = &row[..] {
                let setting = (database.clone(), name.clone(), value.clone());
                role.settings.push(setting);
            }
        }
        Ok(Some(role))
    }

    /// Whether it works as a role that owns everything: the second convention.
    fn has_owner(&self) -> bool {
        self.settings.iter().any(|(_, name, _)| name == "role")
    }
}

/// What was done to the role that takes over.
pub struct Prepared {
    pub created: bool,
    /// Statements beyond the password.
    pub changes: usize,
}

/// Brings the role that takes over in line with the one that leaves, and gives
/// it a password (`None`: it has the right one already). One transaction.
///
/// Where the one that leaves has `role` set (two logins, one owner), the other
/// becomes a member of the same owner with the same setting; otherwise it
/// becomes a member of the one it is made from, as the templates of AWS do it.
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
    let role = existing.unwrap_or_else(|| Role {
        // What CREATE ROLE … LOGIN makes.
        attributes: ATTRIBUTES
            .map(|(_, a)| a == "INHERIT" || a == "LOGIN")
            .into(),
        connection_limit: "-1".to_owned(),
        valid_until: "infinity".to_owned(),
        ..Role::default()
    });
    if role.superuser != model.superuser && !created {
        let (yes, no) = if role.superuser {
            (target, source)
        } else {
            (source, target)
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

/// The statements that make `role` like `model`. None where nothing differs, so
/// that a rotation in the usual case needs no right but that on the password.
fn differences(model: &Role, source: &str, role: &Role, target: &str) -> Vec<String> {
    let mut changes = Vec::new();
    let (to, from) = (identifier(target), identifier(source));
    for ((_, name), (wanted, is)) in ATTRIBUTES
        .iter()
        .zip(model.attributes.iter().zip(&role.attributes))
    {
        if wanted != is {
            let no = if *wanted { "" } else { "NO" };
            changes.push(format!("ALTER ROLE {to} {no}{name}"));
        }
    }
    if model.connection_limit != role.connection_limit {
        let limit = &model.connection_limit;
        changes.push(format!("ALTER ROLE {to} CONNECTION LIMIT {limit}"));
    }
    if model.valid_until != role.valid_until {
        let until = literal(&model.valid_until);
        changes.push(format!("ALTER ROLE {to} VALID UNTIL {until}"));
    }
    let is_member = |of: &str, admin: bool| {
        let mut memberships = role.member_of.iter();
        memberships.any(|(name, has_admin)| name == of && (*has_admin || !admin))
    };
    // A member of the other cannot have the other as its member.
    let target_is_above = model.member_of.iter().any(|(name, _)| name == target);
    if !target_is_above && !model.has_owner() && !is_member(source, false) {
        changes.push(format!("GRANT {from} TO {to}"));
    }
    for (name, admin) in &model.member_of {
        if name != target && !is_member(name, *admin) {
            let option = if *admin { " WITH ADMIN OPTION" } else { "" };
            changes.push(format!("GRANT {} TO {to}{option}", identifier(name)));
        }
    }
    for setting in &model.settings {
        if !role.settings.contains(setting) {
            changes.push(set(&to, setting));
        }
    }
    for (database, name, _) in &role.settings {
        let kept = |s: &&(String, String, String)| s.0 == *database && s.1 == *name;
        if !model.settings.iter().any(|s| kept(&s)) {
            changes.push(format!(
                "{} RESET {}",
                alter(&to, database),
                parameter(name)
            ));
        }
    }
    changes
}

fn alter(role: &str, database: &str) -> String {
    match database {
        "" => format!("ALTER ROLE {role}"),
        name => format!("ALTER ROLE {role} IN DATABASE {}", identifier(name)),
    }
}

/// A parameter's name; those of extensions have two parts.
fn parameter(name: &str) -> String {
    name.split('.')
        .map(identifier)
        .collect::<Vec<_>>()
        .join(".")
}

/// Settings whose values are lists of quoted names: written as one literal they
/// would become a single name (`variable_is_guc_list_quote` of pg_dump).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

fn set(role: &str, (database, name, value): &(String, String, String)) -> String {
    let value = match LISTS.contains(&name.as_str()) {
        true => list(value)
            .iter()
            .map(|v| literal(v))
            .collect::<Vec<_>>()
            .join(", "),
        false => literal(value),
    };
    format!(
        "{} SET {} TO {value}",
        alter(role, database),
        parameter(name)
    )
}

/// The names in a list as the catalog has it: `"$user", public`.
fn list(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                names.last_mut().map(|n| n.push('"')).unwrap_or_default();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(String::new()),
            c if c.is_whitespace() && !quoted => {}
            c => names.last_mut().map(|n| n.push(c)).unwrap_or_default(),
        }
    }
    names
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

    #[test]
    fn lists_of_names_are_taken_apart() {
        assert_eq!(list("\"$user\", public"), ["$user", "public"]);
        assert_eq!(list("\"a\"\"b, c\",d"), ["a\"b, c", "d"]);
        assert_eq!(list(""), [""]);
    }

    fn role(limit: &str, member_of: &[(&str, bool)], settings: &[(&str, &str, &str)]) -> Role {
        Role {
            superuser: false,
            attributes: vec![true, false, false, false, false, true],
            connection_limit: limit.to_owned(),
            valid_until: "infinity".to_owned(),
            member_of: member_of
                .iter()
                .map(|(n, a)| ((*n).to_owned(), *a))
                .collect(),
            settings: settings
                .iter()
                .map(|(d, n, v)| ((*d).to_owned(), (*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn only_what_differs_is_changed() {
        let model = role(
            "5",
            &[("readers", false), ("writers", true)],
            &[
                ("", "search_path", "\"a b\", public"),
                ("db", "work_mem", "8MB"),
                ("", "app.x", "it's"),
            ],
        );
        let new = role("-1", &[("writers", false)], &[("", "jit", "off")]);
        assert_eq!(
            differences(&model, "app", &new, "app_clone"),
            [
                "ALTER ROLE \"app_clone\" CONNECTION LIMIT 5",
                "GRANT \"app\" TO \"app_clone\"",
                "GRANT \"readers\" TO \"app_clone\"",
                "GRANT \"writers\" TO \"app_clone\" WITH ADMIN OPTION",
                "ALTER ROLE \"app_clone\" SET \"search_path\" TO 'a b', 'public'",
                "ALTER ROLE \"app_clone\" IN DATABASE \"db\" SET \"work_mem\" TO '8MB'",
                "ALTER ROLE \"app_clone\" SET \"app\".\"x\" TO 'it''s'",
                "ALTER ROLE \"app_clone\" RESET \"jit\"",
            ]
        );
        // The way back: the clone is a member of the original, not the reverse.
        let clone = role("5", &[("app", false), ("readers", false)], &[]);
        let original = role("5", &[("readers", false)], &[]);
        let none: [&str; 0] = [];
        assert_eq!(differences(&clone, "app_clone", &original, "app"), none);
    }

    #[test]
    fn with_an_owner_both_are_members_of_it() {
        let model = role("-1", &[("owner", false)], &[("", "role", "owner")]);
        let new = role("-1", &[], &[]);
        assert_eq!(
            differences(&model, "app", &new, "app_clone"),
            [
                "GRANT \"owner\" TO \"app_clone\"",
                "ALTER ROLE \"app_clone\" SET \"role\" TO 'owner'",
            ]
        );
    }
}
