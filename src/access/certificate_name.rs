//! The names that a rule can ask of a client's certificate.

use std::fmt;

use crate::base::nonempty;

/// A name in a client's certificate. It is compared as a whole: there are no
/// wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// A URI among the subject's alternative names: a SPIFFE ID, or any other.
    Uri(String),
    /// A DNS name among the subject's alternative names, in lower case.
    Dns(String),
    /// The subject's common name.
    CommonName(String),
}

impl CertificateName {
    /// Reads a name as rules write it.
    ///
    /// # Errors
    /// A sentence for whoever wrote the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        nonempty(text)?;
        match text.split_once(':') {
            Some(("cn", name)) if !name.is_empty() => Ok(Self::CommonName(name.to_owned())),
            Some(("dns", name)) if !name.is_empty() && !name.contains('*') => {
                Ok(Self::Dns(name.to_ascii_lowercase()))
            }
            Some((scheme, rest)) if !scheme.is_empty() && rest.starts_with("//") => {
                Ok(Self::Uri(text.to_owned()))
            }
            _ => Err(format!(
                "{text:?} names no certificate; write \"spiffe://…\", \"dns:NAME\" or \"cn:NAME\", in full"
            )),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => f.write_str(uri),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::CommonName(name) => write!(f, "cn:{name}"),
        }
    }
}
