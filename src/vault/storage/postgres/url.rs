//! The URL of a store on PostgreSQL: where it is, and how pgvalet logs in there.
//!
//! A password is not part of it, because whoever reads the configuration would have
//! every secret.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use nix::unistd::{User, geteuid};
use percent_encoding::percent_decode_str;

use crate::base::nearest;
use crate::net::tls::{Identity, TlsOptions, for_upstream};
use crate::net::{UpstreamTls, is_local};

const SCHEMA: &str = "pgvalet";
const PORT: u16 = 5432;
/// PostgreSQL cuts longer identifiers off.
const IDENTIFIER: usize = 63;

const PARAMETERS: [&str; 9] = [
    "host",
    "port",
    "user",
    "schema",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "passfile",
];

/// A store on PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Names, addresses, or directories of sockets, each with its port. The first one
    /// that may be written to is used.
    pub hosts: Vec<(String, u16)>,
    pub user: String,
    pub dbname: String,
    pub schema: String,
    pub tls: UpstreamTls,
    pub root_certificate: Option<PathBuf>,
    /// The certificate and key that pgvalet shows.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The file of passwords, as libpq has it (`.pgpass`).
    pub password_file: Option<PathBuf>,
}

impl ServerUrl {
    /// Whether a text is meant to be such a URL.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads a URL. `resolve` says what a relative path in it means.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(text: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self, String> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or("the URL of a store begins with postgres://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, dbname) = place.split_once('/').unwrap_or((place, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if login.contains(':') {
            return Err(no_password());
        }
        let mut given = Given::default();
        for parameter in query.split('&').filter(|p| !p.is_empty()) {
            given.read(parameter)?;
        }
        let user = match (decode(login)?, given.user) {
            (user, None) if user.is_empty() => own_name()?,
            (user, None) => user,
            (user, Some(named)) if user.is_empty() || user == named => named,
            _ => return Err("the URL names two users".into()),
        };
        let dbname = decode(dbname)?;
        if dbname.is_empty() {
            return Err("the URL names no database; write postgres://HOST/DATABASE".into());
        }
        let hosts = match given.host {
            Some(list) if hosts.is_empty() => with_port(&list, given.port)?,
            None if !hosts.is_empty() => hosts_of(hosts, given.port)?,
            None => return Err("the URL names no host; for a socket, write postgres:///DATABASE?host=/run/postgresql".into()),
            Some(_) => return Err("the URL names hosts twice".into()),
        };
        let certificate = match (given.certificate, given.key) {
            (Some(certificate), Some(key)) => Some((resolve(&certificate), resolve(&key))),
            (None, None) => None,
            _ => return Err("sslcert and sslkey belong together; give both".into()),
        };
        let url = Self {
            tls: tls(given.tls.as_deref(), &hosts)?,
            hosts,
            user,
            dbname,
            schema: schema(given.schema)?,
            root_certificate: given.root_certificate.map(|path| resolve(&path)),
            certificate,
            password_file: given.password_file.map(|path| resolve(&path)),
        };
        let needless = url.certificate.is_some() || url.root_certificate.is_some();
        if url.tls == UpstreamTls::Disable && needless {
            return Err("sslcert, sslkey and sslrootcert are for TLS; add sslmode=verify-full or remove them".into());
        }
        Ok(url)
    }

    /// Whether the files that it names can be used.
    ///
    /// # Errors
    /// In words, which one cannot.
    pub fn files(&self) -> Result<(), String> {
        for_upstream(self.tls, &self.tls_options()).map_err(|e| e.to_string())?;
        match &self.password_file {
            Some(file) => super::password::read(file, self).map(drop),
            None => Ok(()),
        }
    }

    /// Its files for TLS.
    pub fn tls_options(&self) -> TlsOptions {
        TlsOptions {
            ca: self.root_certificate.clone(),
            identity: self.certificate.clone().map(|(certificate, key)| Identity {
                certificate,
                key,
                password: None,
            }),
            ..TlsOptions::default()
        }
    }

    /// Whether it is this database, whatever the schema.
    pub fn is_database(&self, host: &str, port: u16, dbname: &str) -> bool {
        let same = |there: &str| there.eq_ignore_ascii_case(host) || both_local(there, host);
        let hosts = &mut self.hosts.iter();
        dbname == self.dbname && hosts.any(|(there, at)| *at == port && same(there))
    }
}

/// Names and sockets of this machine are the same server if the port is.
fn both_local(one: &str, other: &str) -> bool {
    is_local(one) && is_local(other)
}

fn no_password() -> String {
    "the URL of the store must not hold a password: whoever reads it could read every secret; \
     log in by a socket (peer), by a certificate (sslcert, sslkey), or name a file of mode 0600 \
     with passfile=FILE"
        .into()
}

/// The parameters behind `?`.
#[derive(Default)]
struct Given {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    schema: Option<String>,
    tls: Option<String>,
    root_certificate: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    password_file: Option<String>,
}

impl Given {
    fn read(&mut self, parameter: &str) -> Result<(), String> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let place = match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "schema" => &mut self.schema,
            "sslmode" => &mut self.tls,
            "sslrootcert" => &mut self.root_certificate,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            "passfile" => &mut self.password_file,
            "password" | "sslpassword" => return Err(no_password()),
            _ => {
                let hint = nearest(name, PARAMETERS)
                    .map_or_else(String::new, |known| format!("; did you mean {known}?"));
                return Err(format!("the URL of a store has no parameter {name}{hint}"));
            }
        };
        let value = decode(value)?;
        if value.is_empty() {
            return Err(format!("{name} in the URL is empty"));
        }
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("{name} is in the URL twice")),
        }
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| format!("{text:?} in the URL is not UTF-8"))?;
    match decoded.contains('\0') {
        true => Err(format!("{text:?} in the URL holds a zero byte")),
        false => Ok(decoded.into_owned()),
    }
}

fn own_name() -> Result<String, String> {
    let user = User::from_uid(geteuid()).ok().flatten();
    user.map(|user| user.name)
        .ok_or_else(|| "the URL names no user, and pgvalet's own has no name; write postgres://USER@HOST/DATABASE".into())
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} in the URL is no port")),
    }
}

fn hosts_of(list: &str, default: Option<String>) -> Result<Vec<(String, u16)>, String> {
    let default = default.as_deref().map_or(Ok(PORT), port)?;
    list.split(',')
        .map(|one| {
            let bracketed = one.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let (host, at) = match bracketed {
                Some((host, rest)) => (host, rest.strip_prefix(':')),
                None => match one.split_once(':') {
                    Some((host, at)) => (host, Some(at)),
                    None => (one, None),
                },
            };
            let host = decode(host)?;
            if host.is_empty() {
                return Err(format!("{list:?} in the URL has an empty host"));
            }
            Ok((host, at.map_or(Ok(default), port)?))
        })
        .collect()
}

fn with_port(list: &str, given: Option<String>) -> Result<Vec<(String, u16)>, String> {
    let given = given.as_deref().map_or(Ok(PORT), port)?;
    Ok(list
        .split(',')
        .map(|host| (host.to_owned(), given))
        .collect())
}

fn schema(given: Option<String>) -> Result<String, String> {
    let name = given.unwrap_or_else(|| SCHEMA.to_owned());
    if name.len() > IDENTIFIER || name.starts_with("pg_") || name == "information_schema" {
        return Err(format!(
            "{name:?} is no schema for a store; choose another name of at most {IDENTIFIER} bytes"
        ));
    }
    Ok(name)
}

/// Reads how TLS is used. Without `sslmode` that is verify-full, and no TLS to this machine, as for
/// databases.
fn tls(given: Option<&str>, hosts: &[(String, u16)]) -> Result<UpstreamTls, String> {
    let sockets = hosts.iter().all(|(host, _)| host.starts_with('/'));
    let local = hosts.iter().all(|(host, _)| is_local(host));
    match given {
        None if local => Ok(UpstreamTls::Disable),
        None => Ok(UpstreamTls::VerifyFull),
        Some("disable") if local => Ok(UpstreamTls::Disable),
        Some("disable") => Err("sslmode=disable would send every secret's name in the clear to another machine; use verify-full".into()),
        Some(_) if sockets => Err("PostgreSQL has no TLS on sockets; remove sslmode".into()),
        Some("require") => Ok(UpstreamTls::Require),
        Some("verify-ca") => Ok(UpstreamTls::VerifyCa),
        Some("verify-full") => Ok(UpstreamTls::VerifyFull),
        Some(other) => Err(format!("sslmode={other} is not one of disable, require, verify-ca, verify-full (others can be stripped by whoever is in between)")),
    }
}

/// What tells stores apart, for messages.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        for (n, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        write!(f, "/{}", self.dbname)?;
        match self.schema.as_str() {
            SCHEMA => Ok(()),
            other => write!(f, "?schema={other}"),
        }
    }
}
