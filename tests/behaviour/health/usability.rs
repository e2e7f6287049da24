//! How many commands it takes: from what a person sees to what is wrong, and away with it.

use std::time::Duration;

use serde_json::Value;

use super::{run, wait_trouble};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// Prometheus scrapes as often as this, as a rule.
const SCRAPE: Duration = Duration::from_secs(15);

/// The commands that somebody has typed.
struct Person<'a> {
    proxy: &'a Proxy,
    commands: usize,
}

impl<'a> Person<'a> {
    fn at(proxy: &'a Proxy) -> Self {
        Self { proxy, commands: 0 }
    }

    async fn types(&mut self, line: &str) -> (Option<i32>, String) {
        self.commands += 1;
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        run(self.proxy, &words).await
    }
}

async fn app(cluster: &Cluster, more: &str) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    Proxy::with_one_database(&cluster.secret("app_user", &password), more)
        .start()
        .await
}

/// A developer who was refused tells the operator what psql has said.
#[tokio::test(flavor = "multi_thread")]
async fn from_a_refused_client_to_the_reason_in_two_commands() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    let refused = connect(&proxy.dsn_as("developer", "apps")).await.err();
    let refused = refused.expect("refused");
    let seen = refused.as_db_error().expect("an error").message();
    let (_, reference) = seen.split_once("(ref ").expect("a ref");
    let reference = reference.trim_end_matches(')');
    let mut operator = Person::at(&proxy);
    let explain = format!("pgvalet explain --ref {reference}");
    let (code, said) = operator.types(&explain).await;
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "there is no database of this name",
        "asked for database \"apps\" as user \"developer\"",
        "did it mean database \"app\"?",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    // What it would have been with the right name.
    let right = "pgvalet explain --database app --user developer --from 127.0.0.1";
    let (code, said) = operator.types(right).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("let in as "), "{said}");
    assert!(operator.commands <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_an_old_version_is_named_and_removed_in_two_commands() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "pool_mode = \"session\"").await;
    let holder = proxy.connect("app").await;
    holder.value("select 1").await;
    proxy.rotate(&cluster, "app_user").await;
    let fresh = proxy.connect("app").await;
    fresh.value("select 1").await;
    let mut operator = Person::at(&proxy);
    let (code, said) = operator.types("pgvalet clients --old").await;
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[1].ends_with("(old)"), "{said}");
    let id = lines[1].split_whitespace().next().expect("an id");
    let (code, said) = operator.types(&format!("pgvalet kill --id {id}")).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(operator.commands, 2);
    eventually("it is gone", SCRAPE, || async {
        holder.simple_query("select 1").await.err()
    })
    .await;
    assert_eq!(fresh.value("select 1").await, "1");
    eventually("nothing drains", SCRAPE, || async {
        let status = proxy.status().await;
        let generations = status["databases"][0]["generations"].as_array()?.clone();
        (generations.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_seen_by_the_next_scrape_and_mended_by_one_command() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    let wrong = cluster.secret("app_user", &new_password());
    proxy.secret_put("app", &wrong).await;
    let labels = ["kind=\"version_refused\"", "secret=\"app\""];
    eventually("the alarm", SCRAPE, || async {
        let value = proxy.metric("pgvalet_trouble", &labels).await;
        value.filter(|value| *value > 0.0)
    })
    .await;
    // The remedy is a command that can be copied.
    let trouble = wait_trouble(&proxy, "version_refused").await;
    let remedy = trouble["remedy"].as_str().unwrap_or_default();
    let command = remedy.find("pgvalet secret stage").map(|at| &remedy[at..]);
    let command: Vec<&str> = command.expect(remedy).split_whitespace().take(7).collect();
    let command = command.join(" ");
    let mut operator = Person::at(&proxy);
    let (code, said) = operator
        .types(command.trim_end_matches([';', ',', '.', ')']))
        .await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(operator.commands, 1);
    eventually("the alarm is over", SCRAPE, || async {
        match proxy.metric("pgvalet_trouble", &labels).await {
            None | Some(0.0) => Some(()),
            Some(_) => None,
        }
    })
    .await;
    let troubles = proxy.status().await["troubles"].clone();
    assert_eq!(troubles, Value::Array(Vec::new()));
}
