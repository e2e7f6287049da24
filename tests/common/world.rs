//! A process that is told something else of the world: of its clock, its resolver, its disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{ProxyBuilder, repository};

/// What the process is told, and may be told anew while it runs.
pub struct World {
    directory: TempDir,
}

impl World {
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("pgvalet-world-").expect("a directory");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(directory.path().join("world.so"))
            .arg(repository().join("tests/common/world.c"))
            .arg("-ldl")
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "cc works");
        Self { directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A proxy in this world.
    pub fn around(&self, builder: ProxyBuilder) -> ProxyBuilder {
        let text = |path: &Path| path.display().to_string();
        builder
            .environment("LD_PRELOAD", &text(&self.file("world.so")))
            .environment("PGVALET_TEST_WORLD", &text(&self.file("told")))
    }

    /// Replaces the file at once: half of it is never read.
    fn tell(&self, what: &str, text: &str) {
        let new = self.file("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.file(&format!("told.{what}"))).expect("renamed");
    }

    /// The time of day is so many seconds later than it is.
    pub fn clock(&self, seconds: i64) {
        self.tell("clock", &seconds.to_string());
    }

    /// What names resolve to: an address, `fail`, or `wait` for no answer within 20 seconds.
    pub fn hosts(&self, answers: &[(&str, &str)]) {
        let lines: Vec<String> = answers
            .iter()
            .map(|(name, answer)| format!("{name} {answer}\n"))
            .collect();
        self.tell("hosts", &lines.concat());
    }

    /// Every write to a file takes so many milliseconds more.
    pub fn disk(&self, milliseconds: u32) {
        self.tell("disk", &milliseconds.to_string());
    }
}
