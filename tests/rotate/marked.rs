//! Commands that log everything that pgvalet has to say: no password is in it.
//! What libraries say of their work is not pgvalet's, and not asked for here.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::api;
use super::common::{Cluster, cli, end, new_password};
use super::scene::Scene;

const LOUD: &str = "warn,pgvalet=trace";

#[tokio::test(flavor = "multi_thread")]
async fn the_loudest_log_of_a_command_holds_no_password() {
    let scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    let config = scene.proxy.config();
    let access = api::serve(&scene.proxy);
    let loud = scene.proxy.directory().join("aws.env");
    fs::write(&loud, format!("PGVALET_LOG={LOUD}\n")).expect("written");

    let mut said = String::new();
    let mut marks: Vec<String> = Vec::new();
    let mut note = |value: &serde_json::Value| {
        let password = value["password"].as_str().expect("a password");
        marks.push(password.to_owned());
    };
    note(&scene.current());
    let other = serde_json::json!({"username": "o", "password": new_password()});
    note(&other);
    let alternate = ["rotate", "app", "--strategy", "alternating"];
    let alternate = [&alternate[..], &["--admin-secret", "admin"]].concat();
    let value = other.to_string();
    for (args, stdin) in [
        (&["secret", "create", "other"][..], value.as_str()),
        (&["secret", "put", "other"], &value),
        (&["secret", "get", "other"], ""),
        (&["secret", "describe", "other"], ""),
        (&["secret", "list"], ""),
        (&["check"], ""),
        (&["rotate", "app"], ""),
        (&alternate, ""),
        (&["rotate", "app", "--dry-run"], ""),
        (&["secret", "delete", "other", "--now"], ""),
    ] {
        let output = cli::pgvalet(&config, args, stdin);
        for stream in [&output.stdout, &output.stderr] {
            said += &String::from_utf8_lossy(stream);
        }
        assert!(output.status.success(), "{args:?}");
        note(&scene.current());
    }
    assert!(said.contains("pgvalet"), "something was logged");

    let log = scene.proxy.directory().join("serve.log");
    let mut serving = Command::new(cli::PGVALET)
        .args(["store", "serve", "--config"])
        .arg(&config)
        .env("PGVALET_LOG", LOUD)
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("pgvalet starts");
    let mut url = String::new();
    let out = serving.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut url).expect("its URL");
    let client = api::client_of(&access);
    let created = client.create_secret().name("served").secret_string(&value);
    created.send().await.expect("created");
    let got = client.get_secret_value().secret_id("app").send().await;
    assert!(got.expect("a value").secret_string().is_some());
    let batch = client.batch_get_secret_value().secret_id_list("served");
    batch.send().await.expect("a batch");
    let limit = std::time::Duration::from_secs(10);
    end(&mut serving, nix::sys::signal::Signal::SIGTERM, limit);
    said += &fs::read_to_string(&log).expect("its log");

    for (n, mark) in marks.iter().enumerate() {
        assert!(!said.contains(mark), "password {n} is in the log");
    }
}
