//! Whether the files that a configuration names can be used, as far as that
//! can be told without starting the proxy.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::{AccessFlags, access};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Failure;
use super::certificates::dated;
use crate::admin::Token;
use crate::audit::AuditSink;
use crate::config::{Config, ListenTls, Needed, Store};
use crate::fleet::check_key;
use crate::net::{ClientTrust, ListenAddress, UpstreamTls, tls};
use crate::secret::store_title;
use crate::vault::{KeySource, Location};

/// One sentence for each file that cannot be used.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut list = Problems(Vec::new());
    list.listen(config);
    if let Some(path) = &config.admin.token_file {
        list.check("[admin] token_file", Token::read(path));
    }
    if let Some(fleet) = &config.fleet {
        list.check("[fleet] key_file", check_key(&fleet.key_file));
    }
    for (name, store) in config.stores.iter() {
        list.store(&store_title(name.as_deref()), store);
    }
    if let AuditSink::File(path) = &config.audit.sink {
        list.check("[audit] path", can_be_written(path));
    }
    for (name, database) in &config.databases {
        let options = &database.upstream.tls_options;
        let ca = options.ca.as_deref().map_or(Ok(()), certificates);
        if let Err(e) = ca {
            list.0.push(format!("[database.{name}] tls_ca: {e}"));
        } else if !options.crl.is_empty() || options.identity.is_some() {
            let all = tls::for_upstream(UpstreamTls::VerifyFull, options);
            list.check(&format!("[database.{name}]"), all);
        }
    }
    list.0.extend(dated(config, SystemTime::now()).problems);
    list.0
}

/// Whether the store is where the configuration in `file` says, and not where its relative path
/// leads from this directory: then a new one would be made, and clients would be refused.
pub(super) fn store_is_in_place(config: &Config, file: &Path) -> Result<(), Failure> {
    let stores = config.stores.iter();
    let files = stores.filter_map(|(name, store)| Some((name, store.kind.embedded()?.0.file()?)));
    for (name, path) in files {
        is_in_place(&store_title(name.as_deref()), path, file)?;
    }
    Ok(())
}

fn is_in_place(title: &str, path: &Path, file: &Path) -> Result<(), Failure> {
    let base = file.parent().filter(|base| !base.as_os_str().is_empty());
    let written = base.and_then(|base| path.strip_prefix(base).ok());
    match written {
        Some(written) if !path.exists() && written.exists() => Err(Failure::Usage(format!(
            "the store is at {}, and {title} path means {}, because a relative path begins in the directory of {}; move the store, or write its whole path",
            written.display(),
            path.display(),
            file.display()
        ))),
        _ => Ok(()),
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn check<T>(&mut self, key: &str, result: Result<T, impl Display>) {
        if let Err(e) = result {
            self.0.push(format!("{key}: {e}"));
        }
    }

    fn listen(&mut self, config: &Config) {
        match &config.listen.tls {
            ListenTls::Off => {}
            ListenTls::Allow { certificate, key } | ListenTls::Require { certificate, key } => {
                self.check("[listen] certificate", certificates(certificate));
                self.check("[listen] key", tls::private_key(key));
            }
        }
        if let Some(files) = &config.listen.client_ca {
            self.check("[listen]", ClientTrust::load(files));
        }
        for address in &config.listen.addresses {
            if let ListenAddress::Unix { directory, .. } = address {
                self.check("[listen] address", writable_directory(directory));
            }
        }
    }

    fn store(&mut self, title: &str, store: &Store) {
        if let Some((path, key)) = store.kind.embedded() {
            self.embedded(title, path, key);
        }
        for (key, needed) in store.kind.needs() {
            let usable = match needed {
                Needed::Directory(path) => readable_directory(path),
                Needed::File(path) => can(path, AccessFlags::R_OK, "read"),
                Needed::Certificates(path) => certificates(path),
            };
            self.check(&format!("{title} {key}"), usable);
        }
        if let Some(tls) = store.listen.as_ref().and_then(|l| l.tls.as_ref()) {
            let certificate = certificates(&tls.certificate);
            self.check(&format!("{title} tls_certificate"), certificate);
            self.check(&format!("{title} tls_key"), tls::private_key(&tls.key));
        }
    }

    fn embedded(&mut self, title: &str, location: &Location, key: &KeySource) {
        let named = format!("{title} path");
        match location {
            Location::File(path) => self.check(&named, can_be_written(path)),
            Location::Server(url) => self.check(&named, url.files()),
        }
        let Some(key_file) = key.file() else {
            return self.check(&format!("{title} key"), key_in_environment(key));
        };
        let named = format!("{title} key_file");
        if !key_file.exists() {
            // Whether there is a store on a server is asked when it is opened.
            if location.file().is_some_and(Path::exists) {
                self.0.push(format!(
                    "{named}: {} is missing, and without it nothing in {location} can be decrypted; put it back",
                    key_file.display()
                ));
            }
            self.check(&named, can_be_written(key_file));
            return;
        }
        self.check(&named, can(key_file, AccessFlags::R_OK, "read"));
        self.check(&named, private(key_file));
    }
}

fn key_in_environment(key: &KeySource) -> Result<(), String> {
    match key.read() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("the {key} is not set")),
        Err(e) => Err(e.to_string()),
    }
}

fn certificates(path: &Path) -> Result<(), String> {
    let name = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("{name} cannot be used: {e}"))?;
    if certificates.is_empty() {
        return Err(format!("{name} has no certificate in PEM form"));
    }
    Ok(())
}

fn can(path: &Path, how: AccessFlags, verb: &str) -> Result<(), String> {
    access(path, how).map_err(|e| {
        let e = io::Error::from(e);
        format!("{} cannot be {verb}: {e}", path.display())
    })
}

/// Whether a file can be written: one that exists must be writable; for one that is missing, it
/// and the missing directories above it must be possible to make.
fn can_be_written(path: &Path) -> Result<(), String> {
    if path.exists() {
        return can(
            path,
            AccessFlags::R_OK | AccessFlags::W_OK,
            "read and written",
        );
    }
    let nearest = path
        .ancestors()
        .skip(1)
        .map(|a| {
            if a.as_os_str().is_empty() {
                Path::new(".")
            } else {
                a
            }
        })
        .find(|a| a.exists())
        .unwrap_or(Path::new("."));
    writable_directory(nearest).map_err(|e| format!("{} cannot be made: {e}", path.display()))
}

fn writable_directory(path: &Path) -> Result<(), String> {
    if path.exists() && !path.is_dir() {
        return Err(format!("{} is not a directory", path.display()));
    }
    can(path, AccessFlags::W_OK | AccessFlags::X_OK, "written to")
}

fn readable_directory(path: &Path) -> Result<(), String> {
    if path.exists() && !path.is_dir() {
        return Err(format!("{} is not a directory", path.display()));
    }
    can(path, AccessFlags::R_OK | AccessFlags::X_OK, "read")
}

/// Whether only its owner can read the file: a key that others can read protects nothing from
/// them.
fn private(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "{0} has mode {mode:04o}, so that others can read it; chmod 600 {0}",
            path.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
