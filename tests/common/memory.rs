//! The memory of a running proxy.

use std::fs;
use std::time::Instant;

use super::Proxy;

const MB: usize = 1 << 20;

/// The memory of the proxy, as Linux tells it.
pub struct Memory {
    pid: u32,
    before: usize,
}

impl Memory {
    pub fn now(proxy: &Proxy) -> Self {
        let pid = proxy.pid();
        let before = read(pid, "VmRSS");
        Self { pid, before }
    }

    /// The most by which the process is larger than before while `work` is done,
    /// in bytes.
    pub async fn growth(&self, what: &str, work: impl Future<Output = ()>) -> usize {
        let forget_the_peak = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
        forget_the_peak.expect("the memory of the process may be watched");
        let began = Instant::now();
        work.await;
        let took = began.elapsed().as_secs_f64();
        let growth = read(self.pid, "VmHWM").saturating_sub(self.before);
        let mib = growth as f64 / MB as f64;
        println!("{what}: {mib:.1} MiB more, {took:.1} s");
        growth
    }

    pub async fn stays_below(&self, most: usize, what: &str, work: impl Future<Output = ()>) {
        let growth = self.growth(what, work).await;
        assert!(growth < most, "{what}: {growth} bytes");
    }
}

fn read(pid: u32, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("a number of KiB") * 1024
}

pub async fn resident_kib(proxy: &Proxy) -> u64 {
    let output = tokio::process::Command::new("ps")
        .args(["-o", "rss=", "-p", &proxy.pid().to_string()])
        .output()
        .await
        .expect("ps");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number")
}
