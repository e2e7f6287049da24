//! Names of settings (GUCs) that a client may set at start-up.
//!
//! A start-up packet has one list for two things: words of the protocol, which say who
//! connects to what, and settings. Postgres tells them apart by their exact spelling, and
//! takes the names of settings in any case. A proxy must therefore never write a name as a
//! client spelled it. A [`SettingName`] is the only name that reaches a packet to the
//! server, and no word of the protocol is a [`SettingName`].

/// The words of the protocol in a start-up packet (ProcessStartupPacket).
const PROTOCOL: [&str; 4] = ["user", "database", "options", "replication"];

/// The prefix of protocol options.
pub(super) const PROTOCOL_OPTION: &str = "_pq_.";

/// Settings that give a session another identity.
const IDENTITY: [&str; 2] = ["role", "session_authorization"];

/// The setting that delays a login at the server for as long as the client likes. Its backend would
/// count against the server's limit long after the client has gone.
const DELAY: &str = "post_auth_delay";

/// The name of a setting, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingName(Box<str>);

/// Why a name cannot be set at start-up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASetting {
    #[error("a start-up parameter has an invalid name")]
    Malformed,
    /// A word of the protocol, or a setting that changes the identity; in lower case.
    #[error("parameter \"{0}\" cannot be set at start-up")]
    Reserved(String),
}

impl SettingName {
    /// Checks a name as a client spelled it.
    ///
    /// # Errors
    /// [`NotASetting`], whatever the case of the letters.
    pub fn new(name: &str) -> Result<Self, NotASetting> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        if name.is_empty() || !name.bytes().all(letter) {
            return Err(NotASetting::Malformed);
        }
        let name = name.to_ascii_lowercase();
        let reserved = PROTOCOL.contains(&name.as_str())
            || IDENTITY.contains(&name.as_str())
            || name == DELAY
            || name.starts_with(PROTOCOL_OPTION);
        match reserved {
            true => Err(NotASetting::Reserved(name)),
            false => Ok(Self(name.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SettingName> for Box<str> {
    fn from(name: SettingName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_of_the_protocol_is_no_setting() {
        for word in PROTOCOL
            .into_iter()
            .chain(IDENTITY)
            .chain(["_pq_.x", DELAY])
        {
            for written in [
                word.to_owned(),
                word.to_uppercase(),
                format!("{}{}", word[..1].to_uppercase(), &word[1..]),
                format!("{}{}", &word[..1], word[1..].to_uppercase()),
            ] {
                let refused = SettingName::new(&written);
                assert_eq!(refused, Err(NotASetting::Reserved(word.to_lowercase())));
            }
        }
        for malformed in ["", " user", "user ", "a b", "a\0b", "a=b", "a-b", "ä"] {
            let refused = SettingName::new(malformed);
            assert_eq!(refused, Err(NotASetting::Malformed), "{malformed:?}");
        }
        for setting in ["TimeZone", "app.user", "users", "database_x", "_pq_x"] {
            let name = SettingName::new(setting).expect("a setting");
            assert_eq!(name.as_str(), setting.to_ascii_lowercase());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_a_setting_is_none_of_those(name in ".{0,12}") {
            if let Ok(name) = SettingName::new(&name) {
                prop_assert!(!PROTOCOL.contains(&name.as_str()));
                prop_assert!(!name.as_str().contains('\0'));
            }
        }
    }
}
