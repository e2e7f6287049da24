//! The alerts of deploy/prometheus, on what a proxy really says while things go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{ask_in_vain, run, wait_over, wait_trouble};
use crate::common::{Cluster, Proxy, new_password, repository};

/// Scrapes that each phase is made to last: ten minutes.
const SCRAPES: usize = 40;

/// What a proxy said, phase after phase, and which alerts should have fired at its end.
#[derive(Default)]
struct Tape(Vec<(BTreeMap<String, String>, &'static str)>);

impl Tape {
    /// Scrapes what the alerts ask for. `alert`: the one that should fire, or none.
    async fn record(&mut self, proxy: &Proxy, alert: &'static str) {
        let metrics = proxy.metrics().await;
        let wanted = ["pgvalet_trouble", "pgvalet_ready"];
        let series = metrics
            .lines()
            .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, value)| (placed(series), value.to_owned()));
        self.0.push((series.collect(), alert));
    }

    /// As a file for `promtool test rules`.
    fn test(&self) -> String {
        let all: BTreeSet<&String> = self.0.iter().flat_map(|(s, _)| s.keys()).collect();
        let rules = repository().join("deploy/prometheus/rules.yml");
        let mut text = format!(
            "rule_files: [{}]\nevaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n",
            rules.display()
        );
        for series in all {
            let values = self.values(series);
            text += &format!("      - {{ series: '{series}', values: '{values}' }}\n");
        }
        text += "    promql_expr_test:\n";
        for (phase, (_, alert)) in self.0.iter().enumerate() {
            let samples = match *alert {
                "" => String::new(),
                alert => format!("{{ labels: '{{alertname=\"{alert}\"}}', value: 1 }}"),
            };
            let at = phase * 600 + 590;
            text += &format!(
                "      - {{ expr: 'count by (alertname) (ALERTS{{alertstate=\"firing\"}})', eval_time: {at}s, exp_samples: [{samples}] }}\n"
            );
        }
        text
    }

    /// The values of a series over all phases. One that is gone is marked as Prometheus marks
    /// it.
    fn values(&self, series: &str) -> String {
        let mut was_there = false;
        let mut values = Vec::new();
        for (phase, _) in &self.0 {
            let value = phase.get(series);
            values.push(match value {
                Some(value) => format!("{value}x{}", SCRAPES - 1),
                None if was_there => format!("stale _x{}", SCRAPES - 1),
                None => format!("_x{SCRAPES}"),
            });
            was_there = value.is_some();
        }
        values.join(" ")
    }
}

/// With the labels that Prometheus adds.
fn placed(series: &str) -> String {
    let own = "job=\"pgvalet\",instance=\"a\"";
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{own},{labels}"),
        None => format!("{series}{{{own}}}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fires_while_its_trouble_lasts_and_no_longer() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let right = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&right, "").start().await;
    let mut tape = Tape::default();
    tape.record(&proxy, "").await;

    let wrong = cluster.secret("app_user", &new_password());
    proxy.secret_put("app", &wrong).await;
    wait_trouble(&proxy, "version_refused").await;
    tape.record(&proxy, "PgvaletVersionNotAdopted").await;
    proxy.secret_put("app", &right).await;
    wait_over(&proxy, "version_refused").await;
    tape.record(&proxy, "").await;

    cluster.stop();
    ask_in_vain(&proxy).await;
    wait_trouble(&proxy, "database_down").await;
    tape.record(&proxy, "PgvaletDatabaseDown").await;
    cluster.run().await;
    wait_over(&proxy, "database_down").await;
    tape.record(&proxy, "").await;

    let config = fs::read_to_string(proxy.config()).expect("read");
    fs::write(proxy.config(), "[listen\n").expect("written");
    proxy.signal(Signal::SIGHUP);
    wait_trouble(&proxy, "reload_failed").await;
    tape.record(&proxy, "PgvaletReloadFailed").await;
    fs::write(proxy.config(), config).expect("written");
    proxy.signal(Signal::SIGHUP);
    wait_over(&proxy, "reload_failed").await;
    tape.record(&proxy, "").await;
    assert_eq!(run(&proxy, &["health"]).await.0, Some(0));

    let file = proxy.directory().join("alerts.yml");
    fs::write(&file, tape.test()).expect("written");
    let run = Command::new("promtool")
        .args(["test", "rules"])
        .arg(&file)
        .output();
    let Ok(output) = run else {
        return eprintln!("promtool is missing: scripts/setup.sh installs it");
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&said),
        tape.test()
    );
}
