//! What is wrong with a secret: reading it, and rotating it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Finding;
use crate::admin::{Place, TroubleKind};
use crate::base::duration::words;
use crate::pool::Pool;
use crate::rotation::Outlook;
use crate::secret::{Follower, SecretId};

/// A first attempt that fails may be followed by one that works.
const RETRY: Duration = Duration::from_secs(5);
/// A rotation takes seconds; other rotators may hold its lock for a while.
const OVERDUE: Duration = Duration::from_secs(600);

fn finding(secret: &SecretId, kind: TroubleKind, patience: Duration) -> Finding {
    Finding {
        kind,
        place: Place {
            secret: Some(secret.as_str().into()),
            ..Place::default()
        },
        since: None,
        patience,
        sentence: String::new(),
        remedy: String::new(),
    }
}

/// `refresh`: how often the secret is looked up.
pub(super) fn find(
    follower: &Follower,
    refresh: Duration,
    pools: &[Arc<Pool>],
    found: &mut Vec<Finding>,
) {
    let known = follower.known();
    let secret = &follower.secret;
    let why = match (&known.error, &known.current, known.confirmed_at) {
        (Some(error), _, _) => error.to_string(),
        (None, None, Some(_)) => format!("secret {secret} has no AWSCURRENT version"),
        _ => return,
    };
    // A store that is throttled or restarted is asked again soon.
    let patience = match known.may_recover() && known.current.is_some() {
        true => RETRY.max(refresh * 2),
        false => Duration::from_secs(1),
    };
    let in_force = pools.iter().find_map(|pool| {
        let counts = pool.counts();
        let own = counts.in_force().filter(|_| pool.secret == *secret)?;
        Some(own.generation.clone())
    });
    let effect = match &in_force {
        Some(g) => format!("version {} stays in force", g.credential.version),
        None => "its clients cannot be served".to_owned(),
    };
    let remedy = match known.may_recover() {
        true => {
            "see to the secret store and the way to it; pgvalet tries again by itself".to_owned()
        }
        false => format!(
            "make the secret readable and complete (pgvalet secret describe {secret}, pgvalet secret put {secret}); pgvalet check tries it"
        ),
    };
    found.push(Finding {
        sentence: format!("secret {secret} cannot be used: {why}; {effect}"),
        remedy,
        ..finding(secret, TroubleKind::SecretUnread, patience)
    });
}

pub(super) fn find_rotation(secret: &SecretId, outlook: Option<Outlook>, found: &mut Vec<Finding>) {
    let Some(outlook) = outlook else { return };
    if let Some(why) = outlook.failure {
        return found.push(Finding {
            sentence: format!("the rotation of secret {secret} fails: {why}"),
            remedy: format!(
                "pgvalet rotate {secret} tries at once and shows each step; pgvalet audit query --event rotation.step has the earlier ones"
            ),
            ..finding(secret, TroubleKind::RotationFails, RETRY)
        });
    }
    let Some(at) = outlook.at.map(SystemTime::from) else {
        return;
    };
    if outlook.unapproved {
        return found.push(Finding {
            since: Some(at),
            sentence: format!("the rotation of secret {secret} waits for approval"),
            remedy: format!("pgvalet rotation approve {secret} lets it begin"),
            ..finding(secret, TroubleKind::RotationUnapproved, Duration::ZERO)
        });
    }
    if let Ok(late) = at.elapsed()
        && late > OVERDUE
    {
        found.push(Finding {
            since: Some(at),
            sentence: format!(
                "the rotation of secret {secret} is overdue by {}",
                words(late)
            ),
            remedy: format!("pgvalet rotate {secret} shows which step it waits for"),
            ..finding(secret, TroubleKind::RotationOverdue, Duration::ZERO)
        });
    }
}
