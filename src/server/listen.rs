//! The options of `[listen]` as the listeners need them.

use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::{Group, User};

use super::ServerError;
use crate::access::UserRef;
use crate::config::{Listen, ListenTls};
use crate::net::tls::TlsError;
use crate::net::{ClientTrust, ServerCertificate, SocketAccess};
use crate::session::Tls;

/// Reads the certificate that clients see.
pub(super) fn client_tls(
    listen: &Listen,
    trust: Option<&Arc<ClientTrust>>,
) -> Result<Tls, TlsError> {
    let shown = |certificate: &PathBuf, key: &PathBuf| {
        ServerCertificate::load(certificate.clone(), key.clone(), trust.cloned())
    };
    Ok(match &listen.tls {
        ListenTls::Off => Tls::Off,
        ListenTls::Allow { certificate, key } => Tls::Allow(shown(certificate, key)?),
        ListenTls::Require { certificate, key } => Tls::Require(shown(certificate, key)?),
    })
}

/// Looks up the owner and the group of unix sockets.
pub(super) fn socket_access(listen: &Listen) -> Result<SocketAccess, ServerError> {
    let unknown = |key, name: &str| ServerError::UnknownOwner {
        key,
        name: name.to_owned(),
    };
    let uid = match &listen.socket_owner {
        None => None,
        Some(UserRef::Uid(uid)) => Some(*uid),
        Some(UserRef::Name(name)) => {
            let user = User::from_name(name).ok().flatten();
            let user = user.ok_or_else(|| unknown("socket_owner", name))?;
            Some(user.uid.as_raw())
        }
    };
    let gid = match &listen.socket_group {
        None => None,
        Some(UserRef::Uid(gid)) => Some(*gid),
        Some(UserRef::Name(name)) => {
            let group = Group::from_name(name).ok().flatten();
            let group = group.ok_or_else(|| unknown("socket_group", name))?;
            Some(group.gid.as_raw())
        }
    };
    Ok(SocketAccess {
        mode: listen.socket_mode,
        uid,
        gid,
    })
}
