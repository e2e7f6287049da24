//! Which settings a client expects to be in force, and what it was told of them.

use std::sync::Arc;

use crate::pool::{Facts, Lease, Pool, Profile, Settings, Told};
use crate::session::greet::{APPLICATION_NAME, application_name, name_client};

/// A client's settings as the client sees them, whichever connection it is on.
pub(in crate::session) struct Expected {
    /// What the client brought at start-up: DISCARD ALL and RESET lead back to it.
    initial: Arc<Profile>,
    /// What the client expects to be set.
    profile: Arc<Profile>,
    /// What the client was told that the server reports.
    told: Arc<Told>,
}

impl Expected {
    /// `profile`: what the client brought at start-up; `told`: what it was told at its login.
    pub(super) fn new(profile: Arc<Profile>, told: Arc<Told>) -> Self {
        Self {
            initial: profile.clone(),
            profile,
            told,
        }
    }

    /// What the client brought at start-up.
    pub fn initial(&self) -> &Arc<Profile> {
        &self.initial
    }

    /// What the client expects to be set.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// What the client was told.
    pub(super) fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// What the client brought at start-up, and what it was told, which the server may change.
    pub(super) fn initial_and_told(&mut self) -> (&Profile, &mut Arc<Told>) {
        (&self.initial, &mut self.told)
    }

    /// Whether the client was told all that its server connection has reported.
    pub(super) fn knows(&self, lease: &Lease) -> bool {
        self.told.is(lease.reported())
    }

    /// Notes that the client has been told all that its server connection has reported.
    pub(super) fn note_told(&mut self, lease: &Lease, facts: &Facts) {
        if !self.knows(lease) {
            self.told = facts.told(lease.reported());
        }
    }

    /// The SQL that sets what the client expects on a connection; `None` if that is in force.
    pub(super) fn change_from(&self, lease: &Lease) -> Option<String> {
        if Arc::ptr_eq(&lease.profile, &self.profile) {
            return None;
        }
        self.profile.change_from(&lease.profile)
    }

    /// Notes that the client expects what it brought at start-up, and nothing else.
    pub(super) fn discard(&mut self) {
        self.profile = self.initial.clone();
    }

    /// Notes what the client expected in another process.
    pub(super) fn resume(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
    }

    /// Notes the settings that the client expects from now on. `client`: the name of its rule.
    pub(super) fn set(&mut self, mut settings: Settings, pool: &Pool, client: &Arc<str>) {
        if let Some(template) = &pool.database().application_name {
            let own = settings.get(APPLICATION_NAME);
            // These two values have been made of the template already.
            let made = [&self.profile, &self.initial]
                .map(|profile| profile.settings().get(APPLICATION_NAME));
            if own.is_none() || !made.contains(&own) {
                let own = own.map_or("", |own| own);
                let name = application_name(template, own, client);
                settings.insert(APPLICATION_NAME.into(), name);
            }
        }
        name_client(&pool.database(), client, &mut settings);
        self.profile = pool.profiles.intern(settings);
    }
}
