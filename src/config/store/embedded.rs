//! The keys of `[store]` that are for the embedded store: where it is served, and its master key.

use crate::config::address::host_port;
use crate::config::section::Section;
use crate::net::is_loopback;
use crate::vault::KeySource;
use crate::vault::api::{StoreListen, StoreTls};

/// Where the embedded store is served, if it is.
pub(super) fn listen(s: &mut Section<'_, '_>) -> Option<StoreListen> {
    let address = s.text("address", |text| {
        host_port(text).map(|(host, _)| (text.to_owned(), host))
    });
    let has_files = s.has("tls_certificate") || s.has("tls_key");
    let pair = s.pair("tls_certificate", "tls_key");
    let Some((address, host)) = address else {
        if has_files {
            s.wrong("tls_certificate is for an address; add address = \"HOST:PORT\" or remove it");
        }
        return None;
    };
    if !has_files && !is_loopback(&host) {
        s.wrong(format!(
            "address {host} can be reached from other machines, so it needs TLS; add tls_certificate = \"FILE\" and tls_key = \"FILE\", or use 127.0.0.1"
        ));
    }
    let tls = pair.map(|(certificate, key)| StoreTls { certificate, key });
    let title = s.name().to_owned();
    Some(StoreListen {
        title,
        address,
        tls,
    })
}

/// Where the master key is. Without `key` it is in `key_file`; with `key = "kms:…"`, `key_file`
/// keeps the wrapped key.
pub(super) fn master_key(s: &mut Section<'_, '_>) -> KeySource {
    let both = s.has("key_file") && s.has("key");
    let file = s.path("key_file").unwrap_or_default();
    let resolve = s.resolve("key");
    let key = s.text("key", |text| match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(KeySource::File(resolve(path))),
        _ => KeySource::parse(text, &file),
    });
    if both && !matches!(key, None | Some(KeySource::Kms { .. })) {
        s.wrong("key and key_file both say where the key is; remove one");
    }
    key.unwrap_or(KeySource::File(file))
}
