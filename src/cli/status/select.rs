//! One database of a status, with its secrets and its troubles.

use crate::admin::Status;
use crate::base::suggestion;

/// Leaves what concerns this database, and the proxy as a whole.
///
/// # Errors
/// There is no such database; the nearest name.
pub(super) fn only(status: &mut Status, name: &str) -> Result<(), String> {
    if !status.databases.iter().any(|d| &*d.name == name) {
        let names = status.databases.iter().map(|d| &*d.name);
        return Err(format!(
            "the proxy has no database {name:?}{}",
            suggestion(name, names)
        ));
    }
    status.databases.retain(|d| &*d.name == name);
    let databases = &status.databases;
    let uses = |secret: &str| databases.iter().any(|d| &*d.secret == secret);
    status.secrets.retain(|s| uses(&s.secret));
    status
        .troubles
        .retain(|t| match (&t.place.database, &t.place.secret) {
            (Some(database), _) => &**database == name,
            (None, Some(secret)) => uses(secret),
            (None, None) => true,
        });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::examples::troubled;

    #[test]
    fn one_database_and_its_troubles_are_left() {
        let mut status = troubled();
        only(&mut status, "billing").expect("there");
        assert_eq!(status.databases.len(), 1);
        assert!(status.secrets.is_empty(), "the example knows no other");
        assert!(
            status
                .troubles
                .iter()
                .all(|t| t.place.database.is_none()
                    || t.place.database.as_deref() == Some("billing"))
        );
        let unknown = only(&mut troubled(), "biling").expect_err("unknown");
        assert!(unknown.contains("billing"), "{unknown}");
    }
}
