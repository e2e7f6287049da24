//! The statements that make one role like another.

use super::role::{ATTRIBUTES, Role};
use crate::rotation::sql::{identifier, literal};

/// The statements that make `role`, named `target`, like `model`, named
/// `source`. Where nothing differs there are none, so that a rotation usually
/// needs no other right than to change the password.
pub(super) fn differences(model: &Role, source: &str, role: &Role, target: &str) -> Vec<String> {
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
    // Two roles cannot be members of each other.
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

/// Quotes the name of a parameter; one of an extension has two parts.
fn parameter(name: &str) -> String {
    name.split('.')
        .map(identifier)
        .collect::<Vec<_>>()
        .join(".")
}

/// Settings whose values are lists of quoted names. As one literal such a list
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

/// Splits a list of names as the catalog has it: `"$user", public`.
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
