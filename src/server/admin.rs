//! The admin listener: bound early, served once everything is built.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::ServerError;
use super::build::Built;
use crate::admin::{
    self, AdminAddress, AdminListener, Doorkeeper, Operations, StatusSource, Token,
};
use crate::config::Config;
use crate::net::{Listener, PassedSockets, Shared, SocketAccess};

/// The bound admin listener.
pub struct Admin {
    listener: AdminListener,
    address: AdminAddress,
    keeper: Doorkeeper,
    /// The token that this process has made, and its file.
    own: Option<OwnToken>,
}

/// A token that pgvalet has made, and its file.
pub type OwnToken = (PathBuf, String);

/// Who may open the admin listener's unix socket: the process's user and group.
const ADMIN_SOCKET: SocketAccess = SocketAccess {
    mode: 0o660,
    uid: None,
    gid: None,
};

/// Binds `[admin] address`, if there is one.
pub(super) async fn bind_admin(
    config: &Config,
    passed: &mut PassedSockets,
) -> Result<Option<(AdminListener, AdminAddress)>, ServerError> {
    let Some(address) = &config.admin.address else {
        return Ok(None);
    };
    let listener = match address {
        AdminAddress::Tcp(text) => {
            let bound = passed.bind(text).await;
            AdminListener::Tcp(bound.map_err(|source| ServerError::Admin {
                address: text.clone(),
                source,
            })?)
        }
        AdminAddress::Unix(path) => {
            AdminListener::Unix(Listener::bind_unix(path.clone(), ADMIN_SOCKET, passed).await?)
        }
    };
    Ok(Some((listener, address.clone())))
}

/// Makes the token for requests that change something, if none is configured, or keeps that of
/// the process before this one. Without a token the proxy serves nevertheless, but nothing can
/// be changed over TCP.
fn own_token(config: &Config, before: Option<&OwnToken>) -> Option<(PathBuf, Token)> {
    let path = config.admin_token_path()?;
    let kept = before.filter(|(file, _)| *file == path);
    if let Some(token) = kept.and_then(|(_, text)| Token::inherit(text)) {
        return Some((path, token));
    }
    let token = Token::make(&path)
        .map_err(|e| warn!("[admin] {e}; POST /refresh is refused until then, or set token_file"))
        .ok()?;
    Some((path, token))
}

impl Admin {
    /// `[admin] token_file`, or a token of its own. `before`: that of the process before this
    /// one.
    pub(super) fn new(
        listener: AdminListener,
        address: AdminAddress,
        config: &Config,
        before: Option<&OwnToken>,
    ) -> Result<Self, ServerError> {
        let token_file = config.admin.token_file.as_deref();
        let (token, own) = match token_file {
            Some(path) => (Some(Token::read(path)?), None),
            None => own_token(config, before)
                .map(|(file, token)| (Some(token.clone()), Some((file, token.reveal().to_owned()))))
                .unwrap_or_default(),
        };
        let host = match &address {
            AdminAddress::Tcp(text) => text.rsplit_once(':').map(|(host, _)| host),
            AdminAddress::Unix(_) => None,
        };
        let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        Ok(Self {
            keeper: Doorkeeper::new(token, token_file.is_some(), host),
            listener,
            address,
            own,
        })
    }

    /// The token that it has made, which the process that replaces this one keeps.
    pub(super) fn own_token(&self) -> Option<OwnToken> {
        self.own.clone()
    }

    /// The socket, for that process.
    pub(super) fn share(&self) -> std::io::Result<Shared> {
        self.listener.share()
    }

    /// Serves until `closing` becomes true.
    pub(super) fn start(self, built: &Arc<Built>, closing: watch::Receiver<bool>) {
        match (&self.listener, &self.address) {
            (AdminListener::Tcp(listener), _) => {
                if let Ok(address) = listener.local_addr() {
                    info!("admin on http://{address}");
                }
            }
            (_, address) => info!("admin on {address}"),
        }
        let metrics = built.metrics.clone();
        let source: Arc<dyn StatusSource> = built.clone();
        let proxy: Arc<dyn Operations> = built.clone();
        let served = admin::serve(
            self.listener,
            metrics,
            source,
            Some(proxy),
            self.keeper,
            closing,
        );
        tokio::spawn(served);
    }
}
