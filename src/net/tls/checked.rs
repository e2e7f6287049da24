//! Whether the files of TLS to servers can still be used. Connections read them again when they
//! change, and go on with what was read before where they cannot: nobody would learn of it before
//! the next start.

use std::collections::HashMap;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::reread::{Stamp, stamps};
use super::upstream::TlsOptions;

/// What was found out of files, each time they had changed.
#[derive(Default)]
pub struct CheckedFiles(Mutex<HashMap<Vec<PathBuf>, Checked>>);

struct Checked {
    stamps: Vec<Stamp>,
    failure: Option<String>,
}

impl CheckedFiles {
    /// Why the files that are named cannot be used, if so.
    pub fn failure(&self, options: &TlsOptions) -> Option<String> {
        let files = options.files();
        if files.is_empty() {
            return None;
        }
        let stamps = stamps(&files);
        let mut all = self.0.lock();
        if let Some(checked) = all.get(&files).filter(|c| c.stamps == stamps) {
            return checked.failure.clone();
        }
        let failure = options.check().err().map(|e| e.to_string());
        let checked = Checked {
            stamps,
            failure: failure.clone(),
        };
        all.insert(files, checked);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_junk_or_goes_away_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let ca = directory.path().join("ca.pem");
        let own = rcgen::generate_simple_self_signed(["db.example.org".to_owned()]);
        let pem = own.expect("a certificate").cert.pem();
        std::fs::write(&ca, &pem).expect("written");
        let options = TlsOptions {
            ca: Some(ca.clone()),
            ..TlsOptions::default()
        };
        let checked = CheckedFiles::default();
        assert_eq!(checked.failure(&options), None);
        std::fs::write(&ca, "junk").expect("written");
        let why = checked.failure(&options).unwrap_or_default();
        assert!(why.contains("ca.pem"), "{why}");
        assert!(options.check().is_err(), "a reload refuses it");
        std::fs::remove_file(&ca).expect("removed");
        assert!(checked.failure(&options).is_some());
        std::fs::write(&ca, &pem).expect("written");
        assert_eq!(checked.failure(&options), None);
    }
}
