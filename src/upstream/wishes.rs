//! What a login asks for beyond what target and credential say.

use crate::wire::SettingName;
use crate::wire::startup::Replication;

/// What a login asks for beyond what target and credential say. It cannot ask for
/// another user or database.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub replication: Option<Replication>,
    pub(super) settings: Vec<(SettingName, Box<str>)>,
}

impl Default for Wishes {
    /// What every ordinary connection of a pool asks for.
    fn default() -> Self {
        Self::new(None, Vec::new())
    }
}

impl Wishes {
    /// The start-up parameters of a client. Without an application_name among them, that of pgvalet
    /// is used.
    pub fn new(
        replication: Option<Replication>,
        mut settings: Vec<(SettingName, Box<str>)>,
    ) -> Self {
        const NAME: &str = "application_name";
        if !settings.iter().any(|(name, _)| name.as_str() == NAME)
            && let Ok(name) = SettingName::new(NAME)
        {
            settings.push((name, "pgvalet".into()));
        }
        Self {
            replication,
            settings,
        }
    }

    /// A session of pgvalet's own, with this application_name.
    pub fn named(name: &'static str) -> Self {
        let setting = SettingName::new("application_name").ok();
        let settings = setting.map(|setting| (setting, name.into()));
        Self::new(None, settings.into_iter().collect())
    }
}
