//! Writes that fail in the middle.

use std::time::Duration;

use super::*;
use crate::audit::{Against, Source, key, verify};
use crate::metrics::Metrics;

fn entry() -> Entry {
    Entry {
        time: Utc::now(),
        record: Record::start(crate::audit::ConfigRef::default()).into(),
        proxy: None,
        done: None,
    }
}

/// A disk that fills up in the middle of a batch, and has room again.
#[test]
fn after_a_broken_off_write_the_log_goes_on_behind_what_got_in() {
    // As it would be written; wherever it breaks off, the rest fits.
    for cut in (1..1200).step_by(13) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let sink = Sink::open(&path, Duration::MAX).expect("opens");
        let signer = key::of_log(&path).expect("a key");
        let seals = Arc::new(Seals::new(signer, Some(path.clone()), 0));
        let counts = Arc::new(Counts::new(&Metrics::new()));
        let standing = Standing {
            fresh: true,
            ..Standing::default()
        };
        let mut writer = Writer::new(sink, standing, seals, counts.clone(), Arc::default());
        if cut % 2 == 0 {
            writer.write_batch(&mut vec![entry(), entry()]);
        }
        let batch = [entry(), entry(), entry()];
        let (mut bytes, mut chain) = (Vec::new(), writer.chain.clone());
        let own = writer.compose(&mut bytes, &mut chain, 0, &batch);
        let own = own.expect("serialises");
        let cut = cut.min(bytes.len() - 1);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes[..cut]))
            .expect("written");
        let lines = writer.broke_off(&bytes);
        writer.reported(own.min(lines), 0, 1);
        let whole = bytes[..=cut].iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(lines, whole, "cut at {cut}");

        writer.write_batch(&mut vec![entry()]);
        writer.finish();
        let report = verify(&Source::Log(path), &Against::default()).expect("read");
        assert_eq!(report.broken, None, "cut at {cut}: {report:?}");
        let torn = cut > 0 && bytes[cut - 1] != b'\n' && bytes[cut] != b'\n';
        assert_eq!(
            report.notes.len(),
            usize::from(torn),
            "cut at {cut}: {report:?}"
        );
    }
}
