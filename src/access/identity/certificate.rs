//! `certificate`: the client's certificate, whose chain leads to `client_ca`, has
//! one of these names.

use super::{Condition, Identity, Transport};
use crate::access::{CertificateName, Evidence};
use crate::audit::IdentityRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames(pub Vec<CertificateName>);

impl CertificateNames {
    fn list(&self, separator: &str) -> String {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        names.join(separator)
    }
}

impl Condition for CertificateNames {
    fn matches(&self, evidence: &Evidence) -> bool {
        let certificate = evidence.certificate.as_ref();
        certificate.is_some_and(|c| self.0.iter().any(|name| c.is(name)))
    }

    fn because(&self, evidence: &Evidence) -> String {
        match &evidence.certificate {
            Some(certificate) => format!(
                "the certificate is {}, not {}",
                certificate.names().join(", "),
                self.list(", ")
            ),
            None => "the client has shown no certificate".to_owned(),
        }
    }

    fn describe(&self) -> String {
        format!("certificate {}", self.list(" or "))
    }

    fn covers(&self, other: &Identity) -> bool {
        (other.certificate.as_ref())
            .is_some_and(|other| other.0.iter().all(|name| self.0.contains(name)))
    }

    fn transport(&self) -> Option<Transport> {
        Some(Transport::Tls)
    }
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    let certificate = evidence.certificate.as_ref()?;
    let account = evidence.account.as_ref();
    let subject = match certificate.names().first() {
        Some(name) => name.as_str().into(),
        None => certificate.subject.clone(),
    };
    Some(IdentityRef {
        subject,
        issuer: Some(certificate.issuer.clone()),
        cert_sha256: Some(certificate.sha256.clone()),
        uid: account.map(|a| a.uid),
        pid: account.and_then(|a| a.pid),
        exe: account.and_then(|a| a.exe.clone()),
        ..IdentityRef::default()
    })
}
