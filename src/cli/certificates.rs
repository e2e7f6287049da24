//! Certificates and revocation lists that have expired, are not valid yet, or soon expire: what
//! there is to say of the files that a configuration names.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::audit::SinkKind;
use crate::base::duration::words;
use crate::config::{Config, ListenTls, Needed};
use crate::net::tls::TlsOptions;
use crate::net::{UpstreamTls, Validity};
use crate::secret::store_title;
use crate::vault::Location;

/// A sentence for each file.
#[derive(Debug, Default)]
pub(super) struct Dated {
    /// Somebody is not served now.
    pub problems: Vec<String>,
    /// Somebody will not be, or may not be.
    pub warnings: Vec<String>,
}

/// What the others do with a certificate.
#[derive(Clone, Copy)]
enum Role {
    /// Those who connect to pgvalet check it.
    Server,
    /// The server to which pgvalet connects checks it.
    Client,
}

/// Looks at every file. One that cannot be read is left out: that is said elsewhere.
pub(super) fn dated(config: &Config, now: SystemTime) -> Dated {
    let mut found = Dates {
        now,
        dated: Dated::default(),
    };
    match &config.listen.tls {
        ListenTls::Off => {}
        ListenTls::Allow { certificate, .. } | ListenTls::Require { certificate, .. } => {
            found.chain("[listen] certificate", certificate, Role::Server);
        }
    }
    if let Some(files) = &config.listen.client_ca {
        found.roots("[listen] client_ca", &files.ca);
        for list in &files.crl {
            found.list("[listen] client_crl", list);
        }
    }
    for (name, database) in &config.databases {
        if database.upstream.tls != Some(UpstreamTls::Disable) {
            let title = format!("[database.{name}]");
            found.upstream(&title, TLS_KEYS, &database.upstream.tls_options);
        }
    }
    for (name, store) in config.stores.iter() {
        let title = store_title(name.as_deref());
        if let Some(tls) = store.listen.as_ref().and_then(|l| l.tls.as_ref()) {
            let key = format!("{title} tls_certificate");
            found.chain(&key, &tls.certificate, Role::Server);
        }
        if let Some((Location::Server(url), _)) = store.kind.embedded() {
            found.upstream(&format!("{title} path"), URL_KEYS, &url.tls_options());
        }
        for (key, needed) in store.kind.needs() {
            if let Needed::Certificates(path) = needed {
                found.roots(&format!("{title} {key}"), path);
            }
        }
    }
    for sink in &config.audit.sinks {
        if let SinkKind::Syslog { ca: Some(ca), .. } | SinkKind::Otlp { ca: Some(ca), .. } =
            &sink.kind
        {
            found.roots(&format!("[[audit.sink]] {} tls_ca", sink.name), ca);
        }
    }
    found.dated
}

/// The files of a database, and those in the address of a store on a server.
const TLS_KEYS: [&str; 3] = ["tls_ca", "tls_certificate", "tls_crl"];
const URL_KEYS: [&str; 3] = ["sslrootcert", "sslcert", "sslcrl"];

struct Dates {
    now: SystemTime,
    dated: Dated,
}

impl Dates {
    /// `keys`: what the files are called there.
    fn upstream(&mut self, title: &str, keys: [&str; 3], options: &TlsOptions) {
        let [ca, certificate, crl] = keys.map(|key| format!("{title} {key}"));
        if let Some(path) = &options.ca {
            self.roots(&ca, path);
        }
        if let Some(identity) = &options.identity {
            self.chain(&certificate, &identity.certificate, Role::Client);
        }
        for path in &options.crl {
            self.list(&crl, path);
        }
    }

    /// A certificate that pgvalet shows.
    fn chain(&mut self, key: &str, path: &Path, role: Role) {
        let Some(validity) = Validity::of_chain(path) else {
            return;
        };
        let effect = match role {
            Role::Server => "clients that check it are not served",
            Role::Client => "servers that check it let nobody in",
        };
        let name = format!("{key}: {}", path.display());
        if let Some(wrong) = self.not_valid(validity) {
            self.dated
                .problems
                .push(format!("{name} {wrong}; {effect}"));
        } else if let Some(soon) = self.soon(validity) {
            let warning = format!("{name} {soon}; put a new certificate and its key in place");
            self.dated.warnings.push(warning);
        }
    }

    /// Certificates of authorities, of which one is enough: the newest counts. It is the
    /// certificates under them that are checked.
    fn roots(&mut self, key: &str, path: &Path) {
        let all = Validity::of_certificates(path);
        let Some(newest) = all.iter().copied().max_by_key(|v| v.ends) else {
            return;
        };
        let is_one = |v: &&Validity| self.not_valid(**v).is_none();
        let said = match all.iter().filter(is_one).max_by_key(|v| v.ends) {
            None => self.not_valid(newest),
            Some(best) => self.soon(*best),
        };
        if let Some(said) = said {
            let name = format!("{key}: {}", path.display());
            let warning = format!(
                "{name} {said}; add the certificate of the authority that follows, and remove this one later"
            );
            self.dated.warnings.push(warning);
        }
    }

    /// A revocation list. One that is out of date proves nothing, so that nobody is let in by a
    /// certificate of its authority.
    fn list(&mut self, key: &str, path: &Path) {
        for validity in Validity::of_revocation_lists(path) {
            let name = format!("{key}: {}", path.display());
            if let Some(wrong) = self.not_valid(validity) {
                let problem =
                    format!("{name} {wrong}; certificates of its authority are not accepted");
                self.dated.problems.push(problem);
            } else if let Some(soon) = self.soon(validity) {
                let warning = format!("{name} {soon}; put the next list in place");
                self.dated.warnings.push(warning);
            }
        }
    }

    fn not_valid(&self, validity: Validity) -> Option<String> {
        if self.now >= validity.ends {
            return Some(format!("has expired, at {}", time(validity.ends)));
        }
        (self.now < validity.begins)
            .then(|| format!("is not valid yet, only from {} on", time(validity.begins)))
    }

    fn soon(&self, validity: Validity) -> Option<String> {
        let is_due = validity.due().is_some_and(|due| self.now >= due);
        let left = validity.ends.duration_since(self.now).ok()?;
        is_due.then(|| format!("expires in {}, at {}", words(left), time(validity.ends)))
    }
}

fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}
