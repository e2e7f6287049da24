//! Certificates that clients see, those that vouch for clients, and those that vouch for servers.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::Finding;
use crate::admin::{Place, TroubleKind};
use crate::base::duration::words;
use crate::net::ServerCertificate;
use crate::net::tls::CheckedFiles;
use crate::pool::Pool;
use crate::session::Context;

pub(super) fn find(context: &Context, found: &mut Vec<Finding>) {
    if let Some(certificate) = context.tls.certificate() {
        found.extend(expires(certificate, SystemTime::now()));
        found.extend(certificate.failure().map(|why| Finding {
            sentence: format!("the new certificate of [listen] cannot be used: {why}; the one before stays in force"),
            remedy: "mend [listen] certificate and key; they are read again when they change".to_owned(),
            ..finding(certificate.path(), TroubleKind::CertificateUnread)
        }));
    }
    if let Some(trust) = &context.client_trust {
        found.extend(trust.failure().map(|why| Finding {
            sentence: format!("the new [listen] client_ca or client_crl cannot be used: {why}; what was read before stays in force"),
            remedy: "mend [listen] client_ca and client_crl; they are read again when they change".to_owned(),
            ..finding(trust.path(), TroubleKind::CertificateUnread)
        }));
    }
}

/// The files of TLS to the servers of a database.
pub(super) fn find_upstream(pool: &Pool, checked: &CheckedFiles, found: &mut Vec<Finding>) {
    let options = &pool.database().upstream.tls_options;
    let Some(why) = checked.failure(options) else {
        return;
    };
    let name = &pool.name;
    let own = options.identity.as_ref().map(|own| &own.certificate);
    let file = options.ca.as_ref().or(options.crl.first()).or(own);
    let file = file.map_or(Path::new(""), |file| file);
    let mut finding = Finding {
        sentence: format!(
            "the files of TLS to the server of database {name} cannot be used: {why}; what was read before stays in force until pgvalet ends"
        ),
        remedy: format!(
            "mend tls_ca, tls_crl, tls_certificate and tls_key of [database.{name}]; they are read again when they change"
        ),
        ..finding(file, TroubleKind::CertificateUnread)
    };
    finding.place.database = Some(name.clone());
    found.push(finding);
}

fn finding(file: &Path, kind: TroubleKind) -> Finding {
    Finding {
        kind,
        place: Place {
            file: Some(file.display().to_string().into()),
            ..Place::default()
        },
        since: None,
        // Two files are not replaced in one moment.
        patience: Duration::from_secs(2),
        sentence: String::new(),
        remedy: String::new(),
    }
}

fn expires(certificate: &ServerCertificate, now: SystemTime) -> Option<Finding> {
    let validity = certificate.validity()?;
    let begins_to_matter = validity.due()?;
    now.duration_since(begins_to_matter).ok()?;
    let at = DateTime::<Utc>::from(validity.ends).to_rfc3339_opts(SecondsFormat::Secs, true);
    let path = certificate.path().display();
    let sentence = match validity.ends.duration_since(now) {
        Ok(left) => format!("the certificate {path} expires in {}, at {at}", words(left)),
        Err(_) => format!(
            "the certificate {path} has expired, at {at}; clients that check it are not served"
        ),
    };
    Some(Finding {
        since: Some(begins_to_matter),
        patience: Duration::ZERO,
        sentence,
        remedy: "put a new certificate and its key in place; they are read again when they change"
            .to_owned(),
        ..finding(certificate.path(), TroubleKind::CertificateExpires)
    })
}
