//! The `replication` parameter of a start-up packet.

use super::StartupError;

/// The kind of walsender that is asked for instead of an ordinary backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replication {
    /// `replication=true`: replication of the whole cluster, bound to no database.
    Physical,
    /// `replication=database`: logical replication, and SQL as well.
    Logical,
}

impl Replication {
    /// Reads the value as ProcessStartupPacket does (backend_startup.c).
    pub(super) fn read(value: &str) -> Result<Option<Self>, StartupError> {
        match boolean(value) {
            _ if value == "database" => Ok(Some(Self::Logical)),
            Some(true) => Ok(Some(Self::Physical)),
            Some(false) => Ok(None),
            None => Err(StartupError::Replication),
        }
    }

    /// The value that is sent to the server.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Physical => "true",
            Self::Logical => "database",
        }
    }
}

/// Reads a boolean as parse_bool does (bool.c): an unambiguous prefix counts.
fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || value == "on" || value == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_a_truth_or_a_database() {
        for (value, expected) in [
            ("database", Ok(Some(Replication::Logical))),
            ("TRUE", Ok(Some(Replication::Physical))),
            ("ye", Ok(Some(Replication::Physical))),
            ("on", Ok(Some(Replication::Physical))),
            ("1", Ok(Some(Replication::Physical))),
            ("of", Ok(None)),
            ("f", Ok(None)),
            ("0", Ok(None)),
            ("o", Err(StartupError::Replication)),
            ("Database", Err(StartupError::Replication)),
            ("", Err(StartupError::Replication)),
        ] {
            assert_eq!(Replication::read(value), expected, "{value}");
        }
    }
}
