//! `[database.NAME]`: what becomes of connections of an older version.

use std::time::Duration;

use super::section::Section;
use crate::pool::{DrainDeadlineAction, PoolMode, SessionMigration};

pub(super) struct Drain {
    pub timeout: Duration,
    pub action: DrainDeadlineAction,
    pub hard_timeout: Duration,
    pub migration: SessionMigration,
}

pub(super) fn drain(s: &mut Section<'_, '_>, mode: PoolMode) -> Drain {
    let actions = [
        ("wait", DrainDeadlineAction::Wait),
        ("terminate", DrainDeadlineAction::Terminate),
    ];
    let migrations = [
        ("off", SessionMigration::Off),
        ("safe", SessionMigration::Safe),
    ];
    let drain = Drain {
        timeout: s.duration("drain_timeout"),
        action: s.choice("drain_deadline_action", actions),
        hard_timeout: s.duration("drain_hard_timeout"),
        migration: s.choice("session_migration", migrations),
    };
    if !drain.hard_timeout.is_zero() {
        if drain.action != DrainDeadlineAction::Terminate {
            s.wrong("drain_hard_timeout ends sessions, which drain_deadline_action = \"wait\" forbids; write \"terminate\", or remove it");
        } else if drain.hard_timeout < drain.timeout {
            s.wrong("drain_hard_timeout is shorter than drain_timeout, after which sessions end between transactions; make it longer");
        }
    }
    if drain.migration == SessionMigration::Safe && mode != PoolMode::Session {
        s.wrong("session_migration is for pool_mode = \"session\": in the other modes clients move between transactions anyway; remove it");
    }
    drain
}
