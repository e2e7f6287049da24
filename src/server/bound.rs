//! The addresses of a proxy, bound before anything else is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ServerError;
use super::admin::bind_admin;
use super::fleet::{self, Joined};
use super::listen::{client_tls, socket_access};
use super::sockets::{OpenSockets, Sockets};
use super::stores::{self, Door};
use super::upgrade::message::Part;
use crate::admin::{AdminAddress, AdminListener};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::{ClientTrust, Listener, PassedSockets};
use crate::secret::StoreName;
use crate::session::Tls;

/// Listeners that nothing is accepted from yet.
pub(super) struct Bound {
    pub clients: Vec<Listener>,
    pub admin: Option<(AdminListener, AdminAddress)>,
    pub stores: BTreeMap<StoreName, Door>,
    pub fleet: Option<Joined>,
    /// TLS to clients, and the authorities whose client certificates are accepted.
    pub tls: (Tls, Option<Arc<ClientTrust>>),
    /// The listening sockets, for a process that replaces this one.
    pub open: OpenSockets,
}

impl Bound {
    /// Binds every address. `sockets`: those that systemd or the process before has opened.
    ///
    /// # Errors
    /// An address or a certificate cannot be used, or a socket that was passed has no use.
    pub async fn new(
        config: &Config,
        sockets: Sockets,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ServerError> {
        let open = OpenSockets::default();
        let clients = listen(config, sockets.clients, &open).await?;
        let mut passed = sockets.admin;
        let admin = bind_admin(config, &mut passed).await?;
        passed.all_used()?;
        let client_trust = match &config.listen.client_ca {
            Some(files) => Some(ClientTrust::load(files)?),
            None => None,
        };
        let tls = client_tls(&config.listen, client_trust.as_ref())?;
        let mut passed = sockets.store;
        let stores = stores::bind(config.stores.iter(), &mut passed, &open).await?;
        passed.all_used()?;
        let mut passed = sockets.fleet;
        let fleet = fleet::join(config, &mut passed, metrics).await?;
        if let Some(joined) = &fleet {
            let shared = joined.door.share().map_err(ServerError::Share)?;
            open.add(Part::Fleet, shared);
        }
        passed.all_used()?;
        Ok(Self {
            clients,
            admin,
            stores,
            fleet,
            tls: (tls, client_trust),
            open,
        })
    }
}

/// Binds the addresses of `[listen]`.
async fn listen(
    config: &Config,
    mut passed: PassedSockets,
    open: &OpenSockets,
) -> Result<Vec<Listener>, ServerError> {
    let mut listeners = Vec::new();
    let (access, reuse_port) = (socket_access(&config.listen)?, config.listen.reuse_port);
    for address in &config.listen.addresses {
        listeners.extend(Listener::bind(address, access, reuse_port, &mut passed).await?);
    }
    for listener in &listeners {
        open.add(Part::Clients, listener.share().map_err(ServerError::Share)?);
    }
    passed.all_used()?;
    Ok(listeners)
}
