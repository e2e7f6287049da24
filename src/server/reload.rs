//! Puts a new configuration into force in a running proxy.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::build::{Built, State};
use super::pools::Parts;
use super::stores::OpenStores;
use super::upgrade::message::Message;
use super::{revoke, rotation};
use crate::access::Policy;
use crate::admin::{Reloaded, Token};
use crate::audit::{ConfigRef, Record};
use crate::config::{self, Change, Config, Effect, Listen, ListenTls};
use crate::fleet::check_key;
use crate::net::{ClientTrust, ServerCertificate};
use crate::secret::StoreName;
use crate::session::{Cause, Context, Routes};

/// Rules and databases change at once. A pool goes on with the options of the new
/// configuration; one that is no longer configured ends with its last session. A store that is
/// new is opened, and one that is no longer configured is closed when its pools have ended.
/// Listeners, other stores and the audit log stay as they are.
///
/// # Errors
/// A new store cannot be opened. Nothing has changed then.
pub async fn reload(built: &Built, config: Config) -> Result<Reloaded, String> {
    let refused = |why: String| {
        built.health.reloaded(Some(why.clone()));
        why
    };
    let running = built.state.lock().config.clone();
    let new: Vec<_> = {
        let is_new = |name: &StoreName| running.stores.named(name.as_deref()).is_none();
        let all = config.stores.iter().filter(|(name, _)| is_new(name));
        all.map(|(name, store)| (name.clone(), store.clone()))
            .collect()
    };
    let serve = !built.upgrades.is_handed_over();
    OpenStores::fit(&new, &running.stores, &config.stores).map_err(refused)?;
    let opened = built
        .stores
        .add(&new, serve, &built.open, &built.context.audit);
    opened.await.map_err(refused)?;
    Ok(put_into_force(built, config))
}

/// Whether the files can be used that are named since this reload. They come into force with the
/// next start, which would fail without them.
pub(super) fn usable(running: &Config, new: &Config) -> Result<(), String> {
    let (before, now) = (&running.listen, &new.listen);
    let pair = match &now.tls {
        ListenTls::Off => None,
        ListenTls::Allow { certificate, key } | ListenTls::Require { certificate, key } => {
            Some((certificate, key))
        }
    };
    if now.tls != before.tls
        && let Some((certificate, key)) = pair
    {
        let loaded = ServerCertificate::load(certificate.clone(), key.clone(), None);
        loaded.map_err(|e| format!("[listen] certificate and key: {e}"))?;
    }
    if now.client_ca != before.client_ca
        && let Some(files) = &now.client_ca
    {
        ClientTrust::load(files).map_err(|e| format!("[listen] client_ca and client_crl: {e}"))?;
    }
    if new.admin.token_file != running.admin.token_file
        && let Some(path) = &new.admin.token_file
    {
        Token::read(path).map_err(|e| format!("[admin] token_file: {e}"))?;
    }
    if new.fleet != running.fleet
        && let Some(fleet) = &new.fleet
    {
        check_key(&fleet.key_file).map_err(|e| format!("[fleet] key_file: {e}"))?;
    }
    Ok(())
}

fn put_into_force(built: &Built, config: Config) -> Reloaded {
    let context = &built.context;
    if let Some(certificate) = context.tls.certificate()
        && let Err(e) = certificate.reread()
    {
        debug!("[listen] {e}; keeping the current certificate"); // the verdict says it
    }
    let mut state = built.state.lock();
    let hash = state.config.written.hash();
    let reloaded = sorted(state.config.written.changes(&config.written));
    let before = context.routes.load_full();
    let parts = Parts {
        stores: &built.stores.stores,
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
    receive(context, &config.listen);
    built.descriptors.reload(&config);
    revoke::revoke(context, Cause::Change, config.listen.revoke);
    state.pools.leave(&in_use);
    for name in state.config.stores.names() {
        if config.stores.named(name.as_deref()).is_none() {
            built.stores.remove(&name, &built.open);
        }
    }
    state.config = in_force(&state.config, config);
    context.audit.record(Record::reload(ConfigRef {
        before: Some(hash),
        after: state.config.written.hash(),
        changed: reloaded.in_force(),
        after_restart: reloaded.restart.clone(),
    }));
    drop(state);
    // The process that serves rotates.
    if !built.upgrades.is_handed_over() {
        rotation::apply(built);
    }
    built.health.reloaded(None);
    built.upgrades.tell_before(&Message::Reload);
    match reloaded.changes() {
        Some(changes) => info!("configuration reloaded: {changes}"),
        None => info!("configuration reloaded"),
    }
    if let Some(restart) = reloaded.needs_restart() {
        warn!("{restart}");
    }
    reloaded
}

/// Connections are received in another way from now on.
fn receive(context: &Context, listen: &Listen) {
    context.reception.store(Arc::new(listen.reception.clone()));
    context.clients.set_most(listen.max_clients);
    let guard = &listen.guard;
    context
        .limiter
        .set(guard.max_handshakes, guard.max_handshakes_per_address);
    context.denials.set_per_second(guard.denials_per_second);
    context.set_wait_notice(listen.wait_notice);
}

/// What is in force after a reload: what needs a restart is as it was.
fn in_force(running: &Config, new: Config) -> Config {
    let (old, listen) = (running.listen.clone(), new.listen);
    Config {
        listen: Listen {
            addresses: old.addresses,
            tls: old.tls,
            client_ca: old.client_ca,
            socket_mode: old.socket_mode,
            socket_owner: old.socket_owner,
            socket_group: old.socket_group,
            user: old.user,
            reuse_port: old.reuse_port,
            ..listen
        },
        admin: running.admin.clone(),
        stores: running.stores.reloaded(new.stores),
        audit: running.audit.clone(),
        fleet: running.fleet.clone(),
        settings: config::in_force(&running.settings, &new.settings).into(),
        written: running.written.reloaded(new.written),
        ..new
    }
}

fn sorted(changes: Vec<Change>) -> Reloaded {
    let mut reloaded = Reloaded::default();
    for Change { key, effect } in changes {
        match effect {
            Effect::AtOnce => reloaded.at_once.push(key),
            Effect::NewSessions => reloaded.new_sessions.push(key),
            Effect::Drain => reloaded.drain.push(key),
            Effect::Restart => reloaded.restart.push(key),
        }
    }
    reloaded
}
