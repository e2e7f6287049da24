//! Puts a new configuration into force in a running proxy.

use std::sync::Arc;

use tracing::{info, warn};

use super::build::{Built, State};
use super::pools::Parts;
use super::revoke;
use crate::access::Policy;
use crate::audit::Record;
use crate::config::{Config, Listen};
use crate::session::{Cause, Routes};

/// Whether the keys of `[listen]` that cannot change while running are the same.
fn same_listeners(old: &Listen, new: &Listen) -> bool {
    let comparable = Listen {
        revoke: old.revoke,
        wait_notice: old.wait_notice,
        allow_untrusted_networks: old.allow_untrusted_networks,
        ..new.clone()
    };
    *old == comparable
}

/// Rules and databases change at once. A pool goes on with the options of the new
/// configuration; one that is no longer configured ends with its last session.
/// Listeners, the secret store and the audit log stay as they are.
pub fn reload(built: &Arc<Built>, config: Config) {
    let context = &built.context;
    if let Some(certificate) = context.tls.certificate()
        && let Err(e) = certificate.reread()
    {
        warn!("[listen] {e}; keeping the current certificate");
    }
    let mut state = built.state.lock();
    let old = &state.config;
    let fixed = [
        ("listen", !same_listeners(&old.listen, &config.listen)),
        ("admin", old.admin != config.admin),
        ("store", old.store != config.store),
        ("audit", old.audit != config.audit),
    ];
    for (section, changed) in fixed {
        if changed {
            warn!("[{section}] has changed; the change takes effect with a restart");
        }
    }
    let before = context.routes.load_full();
    let parts = Parts {
        store: &built.store,
        metrics: &built.metrics,
        audit: &context.audit,
    };
    let State {
        pools, followers, ..
    } = &mut *state;
    let in_use = pools.start(&config, &parts, followers);
    followers.retain(|secret, _| in_use.keys().any(|(_, s)| s == secret));
    context.routes.store(Arc::new(Routes {
        policy: Policy::new(&config.clients, &config.databases, Some(&before.policy)),
        pools: in_use.clone(),
    }));
    context.switches.apply(context.routes.load().pools.values());
    context.set_wait_notice(config.listen.wait_notice);
    let running = state.config.clone();
    revoke::revoke(context, Cause::Change, config.listen.revoke);
    state.pools.leave(&in_use);
    state.config = Config {
        listen: Listen {
            revoke: config.listen.revoke,
            wait_notice: config.listen.wait_notice,
            allow_untrusted_networks: config.listen.allow_untrusted_networks,
            ..running.listen
        },
        admin: running.admin,
        store: running.store,
        audit: running.audit,
        ..config
    };
    context.audit.record(Record::reload());
    info!("configuration reloaded");
}
