//! Whether the files that a configuration names can be used, as far as that
//! can be told without starting the proxy.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Failure;
use crate::admin::Token;
use crate::audit::AuditSink;
use crate::config::{Config, ListenTls, Needed, StoreKind};
use crate::fleet::check_key;
use crate::net::{ClientTrust, ListenAddress, UpstreamTls, tls};
use crate::vault::KeySource;

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
    if let Some((path, key)) = config.store.kind.embedded() {
        list.store(path, key);
    }
    for (key, needed) in config.store.kind.needs() {
        let usable = match needed {
            Needed::Directory(path) => readable_directory(path),
            Needed::File(path) => can(path, AccessFlags::R_OK, "read"),
            Needed::Certificates(path) => certificates(path),
        };
        list.check(&format!("[store] {key}"), usable);
    }
    if let Some(tls) = config.store.listen.as_ref().and_then(|l| l.tls.as_ref()) {
        list.check("[store] tls_certificate", certificates(&tls.certificate));
        list.check("[store] tls_key", tls::private_key(&tls.key));
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
    list.0
}

/// Whether there is a store to read from. Opening an embedded store would make it, and its
/// key, which nobody wants of a command that reads.
pub(super) fn store_exists(config: &Config) -> Result<(), Failure> {
    match &config.store.kind {
        StoreKind::Embedded { path, .. } => match path.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Failed(format!(
                "there is no store at {} yet; `pgvalet secret create NAME` makes it",
                path.display()
            ))),
            Err(e) => Err(Failure::Failed(format!(
                "the store at {} cannot be seen: {e}",
                path.display()
            ))),
        },
        _ => Ok(()),
    }
}

/// Whether the store is where the configuration in `file` says, and not where its relative path
/// leads from this directory: then a new one would be made, and clients would be refused.
pub(super) fn store_is_in_place(config: &Config, file: &Path) -> Result<(), Failure> {
    let Some((path, _)) = config.store.kind.embedded() else {
        return Ok(());
    };
    let base = file.parent().filter(|base| !base.as_os_str().is_empty());
    let written = base.and_then(|base| path.strip_prefix(base).ok());
    match written {
        Some(written) if !path.exists() && written.exists() => Err(Failure::Usage(format!(
            "the store is at {}, and [store] path means {}, because a relative path begins in the directory of {}; move the store, or write its whole path",
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

    fn store(&mut self, path: &Path, key: &KeySource) {
        self.check("[store] path", can_be_written(path));
        let Some(key_file) = key.file() else {
            return self.check("[store] key", key_in_environment(key));
        };
        if !key_file.exists() {
            if path.exists() {
                self.0.push(format!(
                    "[store] key_file: {} is missing, and without it nothing in {} can be decrypted; put it back",
                    key_file.display(),
                    path.display()
                ));
            }
            self.check("[store] key_file", can_be_written(key_file));
            return;
        }
        self.check("[store] key_file", can(key_file, AccessFlags::R_OK, "read"));
        self.check("[store] key_file", private(key_file));
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
mod tests {
    use std::fs;

    use super::*;
    use crate::config::parse;

    /// What is found in a configuration whose paths are in `directory`.
    fn found(directory: &Path, text: &str) -> Vec<String> {
        let text = text.replace('@', &directory.display().to_string());
        let whole = format!(
            "{text}\n[audit]\npath = \"{0}/log/a.jsonl\"\n[database.a]\nsecret = \"s\"\ntls_ca = \"{0}/ca.pem\"\n",
            directory.display()
        );
        problems(&parse(&whole, Path::new("t.toml")).unwrap_or_else(|e| panic!("{e}")))
    }

    const STORE: &str = "[store]\npath = \"@/store.db\"\nkey_file = \"@/store.key\"\n";

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let pair = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).expect("made");
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).expect("written");
        };
        write("ca.pem", pair.cert.pem());
        write("tls.key", pair.signing_key.serialize_pem());
        let own = fs::Permissions::from_mode(0o640);
        for key in ["tls.key", "ca.pem"] {
            fs::set_permissions(directory.path().join(key), own.clone()).expect("set");
        }
        write("empty", String::new());
        directory
    }

    #[track_caller]
    fn one(found: &[String], parts: &[&str]) {
        assert_eq!(found.len(), 1, "{found:?}");
        for part in parts {
            assert!(found[0].contains(part), "{part:?} is missing in {found:?}");
        }
    }

    #[test]
    fn a_first_start_needs_nothing_but_room() {
        let directory = directory();
        assert_eq!(found(directory.path(), STORE), Vec::<String>::new());
    }

    #[test]
    fn the_key_must_be_there_with_its_store_and_be_private() {
        let directory = directory();
        fs::write(directory.path().join("store.db"), "").expect("written");
        one(
            &found(directory.path(), STORE),
            &["store.key is missing", "put it back"],
        );
        let key = directory.path().join("store.key");
        fs::write(&key, "k").expect("written");
        let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("set");
        mode(0o640);
        one(&found(directory.path(), STORE), &["mode 0640", "chmod 600"]);
        mode(0o600);
        assert_eq!(found(directory.path(), STORE), Vec::<String>::new());
    }

    #[test]
    fn certificates_and_keys_must_be_what_they_are_called() {
        let directory = directory();
        let tls = |certificate: &str, key: &str| {
            let listen =
                format!("[listen]\ncertificate = \"@/{certificate}\"\nkey = \"@/{key}\"\n{STORE}");
            found(directory.path(), &listen)
        };
        assert_eq!(tls("ca.pem", "tls.key"), Vec::<String>::new());
        one(
            &tls("empty", "tls.key"),
            &["[listen] certificate", "no certificate"],
        );
        one(
            &tls("missing", "tls.key"),
            &["[listen] certificate", "missing"],
        );
        let exposed = fs::Permissions::from_mode(0o644);
        fs::set_permissions(directory.path().join("tls.key"), exposed).expect("set");
        one(
            &tls("ca.pem", "tls.key"),
            &["[listen] key", "mode 0644", "chmod 640"],
        );
        one(
            &tls("ca.pem", "ca.pem"),
            &["[listen] key", "holds no PEM private key"],
        );
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let directory = directory();
        let listen = format!("[listen]\naddress = \"unix:@/empty\"\n{STORE}");
        one(
            &found(directory.path(), &listen),
            &["empty is not a directory"],
        );
        let token = format!("[admin]\ntoken_file = \"@/empty\"\n{STORE}");
        one(
            &found(directory.path(), &token),
            &["[admin] token_file", "openssl rand"],
        );
        fs::write(directory.path().join("log"), "").expect("written");
        one(
            &found(directory.path(), STORE),
            &["[audit] path", "cannot be made", "not a directory"],
        );
    }
}
