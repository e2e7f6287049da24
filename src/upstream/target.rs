//! Where a login goes: what the configuration says, completed by the secret.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use super::{Host, Hosts, Options, SessionAttrs};
use crate::net::tls::{self, TlsError};
use crate::net::{TcpOptions, UpstreamTls, is_local};
use crate::secret::{Credential, UpstreamAuth, store_title};

/// The place of a login. It never depends on anything a client said.
#[derive(Clone)]
pub struct Target {
    /// The NAME of `[database.NAME]`, for messages.
    pub database: Arc<str>,
    /// A name, an address, or (with a leading `/`) the directory of a socket.
    pub host: Arc<str>,
    pub port: u16,
    pub dbname: Arc<str>,
    pub tls: Option<Arc<ClientConfig>>,
    pub tcp: TcpOptions,
    pub allow_md5: bool,
    pub allow_cleartext: bool,
    /// TLS proves that the server is the one it should be (verify-full).
    pub verified: bool,
    /// The server is shown a certificate of ours: if it is verified, it may let us
    /// in without asking for more.
    pub by_certificate: bool,
    pub require_channel_binding: bool,
    pub scram_iterations: RangeInclusive<u32>,
    pub auth: UpstreamAuth,
    /// Which servers are wanted.
    pub attrs: SessionAttrs,
    /// All places, this one first, where there is more than one.
    pub places: Vec<Arc<Target>>,
    /// The unix socket of the same server, as far as the port tells: used where it leads to a
    /// login with SCRAM.
    pub shortcut: Option<Arc<Target>>,
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(
        "neither [database.{database}] nor secret \"{secret}\" says which host; set host in one of them"
    )]
    NoHost { database: Arc<str>, secret: String },
    #[error("host of secret \"{secret}\": {reason}")]
    Host { secret: String, reason: String },
    #[error(
        "[database.{database}] is the database that the store is in ({store}), so that its password \
         could only be read from where it leads; keep the store in another database, or write \
         allow_own_database = true into {title}"
    )]
    Store {
        database: Arc<str>,
        store: String,
        /// The table of the store.
        title: String,
    },
    #[error("[database.{database}]: {source}")]
    Tls {
        database: Arc<str>,
        source: TlsError,
    },
}

impl Target {
    /// Completes the configuration by the secret. The configuration wins; Postgres'
    /// own default fills the rest (port 5432). A database that neither names has the NAME of
    /// `[database.NAME]` on its server too.
    ///
    /// # Errors
    /// [`TargetError`]: neither names a host, or the TLS files cannot be used.
    pub fn resolve(options: &Options, credential: &Credential) -> Result<Self, TargetError> {
        let secret = || credential.secret.to_string();
        let of_secret = match (&options.host, &credential.host) {
            (None, Some(text)) => Some(Hosts::parse(text).map_err(|reason| TargetError::Host {
                secret: secret(),
                reason,
            })?),
            _ => None,
        };
        let none = || TargetError::NoHost {
            database: options.name.clone(),
            secret: secret(),
        };
        let hosts = options.host.as_ref().or(of_secret.as_ref());
        let mut places = Vec::new();
        for host in hosts.ok_or_else(none)?.iter() {
            places.push(Arc::new(Self::at(host, options, credential)?));
        }
        let first = places.first().ok_or_else(none)?;
        let mut target = Self::clone(first);
        if places.len() > 1 {
            target.places = places;
        }
        Ok(target)
    }

    fn at(host: &Host, options: &Options, credential: &Credential) -> Result<Self, TargetError> {
        let (host, port) = (&host.name, host.port);
        let mode = if host.starts_with('/') {
            UpstreamTls::Disable // Postgres has no TLS on unix sockets
        } else {
            options.tls.unwrap_or(if is_local(host) {
                UpstreamTls::Disable
            } else {
                UpstreamTls::VerifyFull
            })
        };
        let tls =
            tls::for_upstream(mode, &options.tls_options).map_err(|source| TargetError::Tls {
                database: options.name.clone(),
                source,
            })?;
        let auth = match (options.auth, credential.auth) {
            (UpstreamAuth::Password, UpstreamAuth::Password) => UpstreamAuth::Password,
            _ => UpstreamAuth::RdsIam,
        };
        let dbname = options.dbname.as_ref().or(credential.dbname.as_ref());
        let dbname = dbname.map_or_else(|| options.name.clone(), |name| name.as_str().into());
        let port = port.or(options.port).or(credential.port).unwrap_or(5432);
        if let Some(store) = &options.store
            && store.is_database(host, port, &dbname)
        {
            return Err(TargetError::Store {
                database: options.name.clone(),
                store: store.to_string(),
                title: store_title(credential.secret.store()),
            });
        }
        let mut target = Self {
            database: options.name.clone(),
            host: host.as_str().into(),
            port,
            dbname,
            tls,
            tcp: options.tcp,
            allow_md5: options.allow_md5,
            // A password in clear may only go where nobody can listen: a local
            // server, or one whose certificate has been verified.
            allow_cleartext: options.allow_cleartext
                && (is_local(host) || mode == UpstreamTls::VerifyFull),
            verified: mode == UpstreamTls::VerifyFull,
            by_certificate: options.tls_options.identity.is_some(),
            require_channel_binding: options.require_channel_binding,
            scram_iterations: options.scram_iterations.clone(),
            auth,
            attrs: options.target_session_attrs,
            places: Vec::new(),
            shortcut: None,
        };
        target.shortcut = target.shortcut_by(options.prefer_socket.as_ref());
        Ok(target)
    }

    /// This place by the socket in a directory, if it is on this machine and nobody has asked
    /// for TLS, which a socket does not have.
    fn shortcut_by(&self, directory: Option<&Arc<str>>) -> Option<Arc<Self>> {
        let possible = self.is_local() && self.tls.is_none() && self.socket().is_none();
        let directory = directory.filter(|_| possible)?;
        Some(Arc::new(Self {
            host: directory.clone(),
            ..self.clone()
        }))
    }

    /// The place of this target that has the host and port of another target.
    ///
    /// # Errors
    /// There is none; the error names the places, as `host:port,host:port`.
    pub fn place_like(&self, other: &Self) -> Result<Arc<Self>, String> {
        let alone = [Arc::new(Self {
            places: Vec::new(),
            ..self.clone()
        })];
        let places = if self.places.is_empty() {
            &alone[..]
        } else {
            &self.places
        };
        let alike =
            |p: &&Arc<Self>| p.host.eq_ignore_ascii_case(&other.host) && p.port == other.port;
        places.iter().find(alike).cloned().ok_or_else(|| {
            let places: Vec<String> = places
                .iter()
                .map(|p| format!("{}:{}", p.host, p.port))
                .collect();
            places.join(",")
        })
    }

    /// This place, with another database.
    pub fn in_database(&self, dbname: &str) -> Arc<Self> {
        Arc::new(Self {
            dbname: dbname.into(),
            shortcut: self.shortcut.as_ref().map(|s| s.in_database(dbname)),
            ..self.clone()
        })
    }

    /// Whether the place is on this machine, so that nobody else is on the way.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }

    /// The path of the unix socket, where the host is a directory.
    pub fn socket(&self) -> Option<PathBuf> {
        self.host
            .starts_with('/')
            .then(|| PathBuf::from(&*self.host).join(format!(".s.PGSQL.{}", self.port)))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        for place in self.places.iter().skip(1) {
            write!(f, ",{}:{}", place.host, place.port)?;
        }
        write!(f, "/{}", self.dbname)
    }
}
