//! The metrics that every exporter of Prometheus has of its process.

use std::fmt::Write;
use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

/// Appends them. What the system does not say is left out.
pub(super) fn render(text: &mut String) {
    let mut add = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}"
            );
        }
    };
    let stat = Stat::read();
    let stat = stat.as_ref();
    add(
        "cpu_seconds_total",
        "counter",
        "CPU time used, of user and system.",
        stat.map(|s| s.cpu),
    );
    add(
        "start_time_seconds",
        "gauge",
        "When the process started, as a Unix time.",
        stat.and_then(|s| Some(boot_time()? + s.started)),
    );
    add(
        "resident_memory_bytes",
        "gauge",
        "Memory in RAM.",
        stat.map(|s| s.resident),
    );
    add(
        "virtual_memory_bytes",
        "gauge",
        "Address space in use.",
        stat.map(|s| s.virtual_memory),
    );
    add("threads", "gauge", "Threads.", stat.map(|s| s.threads));
    let open = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    add(
        "open_fds",
        "gauge",
        "Open file descriptors.",
        open.map(|n| n as f64),
    );
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok();
    add(
        "max_fds",
        "gauge",
        "The most file descriptors that may be open.",
        limit.map(|(soft, _)| soft as f64),
    );
}

/// What `/proc/self/stat` says, in seconds and bytes.
struct Stat {
    cpu: f64,
    threads: f64,
    /// Since the system started.
    started: f64,
    virtual_memory: f64,
    resident: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(
            &fs::read_to_string("/proc/self/stat").ok()?,
            ticks()?,
            page()?,
        )
    }

    /// The fields of proc_pid_stat(5); the second is a name in brackets, which may have
    /// anything in it.
    fn parse(text: &str, ticks: f64, page: f64) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first of these is the third of the file.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started: field(22)? / ticks,
            virtual_memory: field(23)?,
            resident: field(24)? * page,
        })
    }
}

fn ticks() -> Option<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(ticks as f64)
}

fn page() -> Option<f64> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(page as f64)
}

/// When the system started, as a Unix time.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_behind_the_name() {
        let text = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 1000 4096 3 x";
        let stat = Stat::parse(text, 100.0, 4096.0).expect("it is read");
        assert_eq!((stat.cpu, stat.threads, stat.started), (2.0, 7.0, 10.0));
        assert_eq!((stat.virtual_memory, stat.resident), (4096.0, 12288.0));
        assert!(Stat::parse("42 (a", 100.0, 4096.0).is_none());
    }

    #[test]
    fn this_process_has_them_all() {
        let mut text = String::new();
        render(&mut text);
        for name in [
            "cpu_seconds_total",
            "start_time_seconds",
            "resident_memory_bytes",
            "virtual_memory_bytes",
            "threads",
            "open_fds",
            "max_fds",
        ] {
            assert!(
                text.contains(&format!("\nprocess_{name} ")),
                "{name}: {text}"
            );
        }
    }
}
