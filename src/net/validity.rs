//! From when until when certificates and revocation lists are valid.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer, X509Certificate};

use super::tls::{certificates, revocation_lists};

/// What is left of a certificate for a year when a person should know; of shorter ones, a
/// fifth of their time.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// From when until when something is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub begins: SystemTime,
    pub ends: SystemTime,
}

impl Validity {
    /// Of a chain: as long as each of its certificates is valid. `None`: the file cannot be used.
    pub fn of_chain(path: &Path) -> Option<Self> {
        let each = Self::of_certificates(path).into_iter();
        each.reduce(|a, b| Self {
            begins: a.begins.max(b.begins),
            ends: a.ends.min(b.ends),
        })
    }

    /// Of each certificate in a file. Empty if the file cannot be used.
    pub fn of_certificates(path: &Path) -> Vec<Self> {
        let all = certificates(path).unwrap_or_default();
        let each = all.iter().filter_map(|der| {
            let (_, parsed) = X509Certificate::from_der(der).ok()?;
            let validity = parsed.validity();
            Self::between(validity.not_before, validity.not_after)
        });
        each.collect()
    }

    /// Of each revocation list in a file that says when the next one is due.
    pub fn of_revocation_lists(path: &Path) -> Vec<Self> {
        let all = revocation_lists(path).unwrap_or_default();
        let each = all.iter().filter_map(|der| {
            let (_, parsed) = CertificateRevocationList::from_der(der).ok()?;
            Self::between(parsed.last_update(), parsed.next_update()?)
        });
        each.collect()
    }

    fn between(begins: ASN1Time, ends: ASN1Time) -> Option<Self> {
        let at = |t: ASN1Time| DateTime::from_timestamp(t.timestamp(), 0).map(SystemTime::from);
        Some(Self {
            begins: at(begins)?,
            ends: at(ends)?,
        })
    }

    /// When a successor should have been put in place.
    pub fn due(self) -> Option<SystemTime> {
        let lifetime = self.ends.duration_since(self.begins).ok()?;
        self.ends.checked_sub(SOON.min(lifetime / 5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_certificate_is_renewed_late() {
        let day = Duration::from_secs(86_400);
        let begins = SystemTime::UNIX_EPOCH;
        for (lifetime, before) in [(365, 14), (90, 14), (50, 10), (5, 1)] {
            let ends = begins + day * lifetime;
            let validity = Validity { begins, ends };
            assert_eq!(validity.due(), Some(ends - day * before), "{lifetime} days");
        }
    }
}
