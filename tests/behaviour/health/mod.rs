//! What a person is told when something is wrong: status, metric, log, exit code.

mod alerts;
mod files;
mod series;
mod usability;
mod verdict;

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::common::cli::pgvalet;
use crate::common::{Proxy, connect, eventually};

/// Waits until the proxy says that this is wrong, and returns what it says.
pub async fn wait_trouble(proxy: &Proxy, kind: &str) -> Value {
    eventually(kind, Duration::from_secs(30), || async {
        let status = proxy.status().await;
        let troubles = status["troubles"].as_array()?;
        troubles.iter().find(|t| t["kind"] == kind).cloned()
    })
    .await
}

/// Waits until it says that no more.
pub async fn wait_over(proxy: &Proxy, kind: &str) {
    let what = format!("{kind} is over");
    eventually(&what, Duration::from_secs(60), || async {
        let status = proxy.status().await;
        let troubles = status["troubles"].as_array()?;
        (!troubles.iter().any(|t| t["kind"] == kind)).then_some(())
    })
    .await;
}

/// A client meets a server that is not there.
pub async fn ask_in_vain(proxy: &Proxy) {
    let asked = timeout(Duration::from_secs(1), async {
        connect(&proxy.dsn("app"))
            .await?
            .batch_execute("select 1")
            .await
    });
    // It is told so, or waits.
    assert!(!matches!(asked.await, Ok(Ok(()))));
}

/// The exit code of a command and what it wrote.
pub async fn run(proxy: &Proxy, args: &[&str]) -> (Option<i32>, String) {
    let config = proxy.config();
    let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = pgvalet(&config, &args, "");
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code(), text)
    })
    .await
    .expect("the command ran")
}
