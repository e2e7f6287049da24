//! One verdict, in the same words in every place, for each thing that can be wrong.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{ask_in_vain, run, wait_over, wait_trouble};
use crate::common::cli::PGVALET;
use crate::common::store_server::Server;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

async fn app(cluster: &Cluster, more: &str) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    Proxy::with_one_database(&cluster.secret("app_user", &password), more)
        .start()
        .await
}

/// Whether the log says that sooner or later.
async fn logged(proxy: &Proxy, text: &str) {
    eventually(text, Duration::from_secs(20), || async {
        proxy.log().contains(text).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_that_was_published_is_seen_everywhere_and_mended_by_one_command() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    assert_eq!(run(&proxy, &["health"]).await, (Some(0), "ok\n".to_owned()));
    let (code, said) = run(&proxy, &["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ready, nothing is wrong"), "{said}");
    let good = proxy.status().await["secrets"][0]["version"].clone();
    let good = good.as_str().expect("a version");

    let wrong = cluster.secret("app_user", &new_password());
    let version = proxy.secret_put("app", &wrong).await;
    let trouble = wait_trouble(&proxy, "version_refused").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    for part in [
        "AWSCURRENT of secret app",
        &version,
        "28P01",
        &format!("version {good} stays in force"),
    ] {
        assert!(sentence.contains(part), "{part} is missing in {sentence}");
    }
    let labels = [
        "kind=\"version_refused\"",
        "database=\"app\"",
        "secret=\"app\"",
    ];
    assert_eq!(proxy.metric("pgvalet_trouble", &labels).await, Some(1.0));
    for command in ["status", "health"] {
        let (code, said) = run(&proxy, &[command]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    let (code, said) = run(&proxy, &["status", "--json"]).await;
    assert_eq!(code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(json["troubles"][0]["sentence"], sentence);
    logged(&proxy, &format!("trouble: {sentence}")).await;
    // Clients go on, and so does the proxy's readiness.
    assert_eq!(proxy.get("/readyz").await.0, 200);
    proxy.connect("app").await;

    let back = format!("pgvalet secret stage app AWSCURRENT --to {good}");
    let remedy = trouble["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains(&back), "{remedy}");
    let stage: Vec<&str> = back.split(' ').skip(1).collect();
    let (code, said) = run(&proxy, &stage).await;
    assert_eq!(code, Some(0), "{said}");
    wait_over(&proxy, "version_refused").await;
    assert_eq!(proxy.metric("pgvalet_trouble", &labels).await, None);
    assert_eq!(run(&proxy, &["health"]).await.0, Some(0));
    logged(&proxy, "over after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_no_matter_of_readiness() {
    let mut cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    cluster.stop();
    ask_in_vain(&proxy).await;
    let trouble = wait_trouble(&proxy, "database_down").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("database app is down: "), "{sentence}");
    assert_eq!(proxy.get("/readyz").await.0, 200);
    let (code, said) = run(&proxy, &["status", "--database", "app"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("app       down "), "{said}");
    cluster.run().await;
    wait_over(&proxy, "database_down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_secret_that_does_not_log_in_is_named() {
    let cluster = Cluster::start().await;
    cluster.create_role("app_user", &new_password()).await;
    let wrong = cluster.secret("app_user", &new_password());
    let proxy = Proxy::with_one_database(&wrong, "").start_unready().await;
    let trouble = wait_trouble(&proxy, "no_login").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with("no version of secret app logs in to database app: "),
        "{sentence}"
    );
    let (code, reason) = proxy.get("/readyz").await;
    assert_eq!((code, reason.lines().count()), (503, 1), "{reason}");
}

/// Another password does not help where the store cannot be asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_helps_while_the_store_is_down_is_the_store() {
    let cluster = Cluster::start().await;
    let mut store = Server::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let keys = tempfile::tempdir().expect("a directory");
    let (url, key) = (store.url("s"), keys.path().join("store.key"));
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .store(&format!(
            "path = {url:?}\nkey_file = {key:?}\nrefresh = \"1s\""
        ))
        .start()
        .await;
    proxy.connect("app").await.value("select 1").await;
    store.cluster.stop();
    cluster.alter_password("app_user", &new_password()).await;
    cluster
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_user'",
        )
        .await;
    ask_in_vain(&proxy).await;
    let remedy = eventually("what helps", Duration::from_secs(30), || async {
        let trouble = wait_trouble(&proxy, "no_login").await;
        let remedy = trouble["remedy"].as_str().expect("a remedy").to_owned();
        remedy.contains("see to the secret store").then_some(remedy)
    })
    .await;
    assert!(!remedy.contains("secret put"), "{remedy}");
}

/// The store is in the database whose password it keeps: that has to be said, or changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_helps_where_the_store_is_in_the_database_is_another_place() {
    let store = Server::start().await;
    let cluster = &store.cluster;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let keys = tempfile::tempdir().expect("a directory");
    let (url, key) = (store.url("s"), keys.path().join("store.key"));
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "dbname = \"secrets\"")
        .store(&format!("path = {url:?}\nkey_file = {key:?}"))
        .start_unready()
        .await;
    let trouble = wait_trouble(&proxy, "no_login").await;
    let remedy = trouble["remedy"].as_str().expect("a remedy");
    assert!(
        remedy.contains("allow_own_database = true into [store]"),
        "{remedy}"
    );
    assert!(!remedy.contains("secret put"), "{remedy}");
}

/// What is paused is meant, and easily forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_paused_or_disabled_is_named() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    assert_eq!(run(&proxy, &["pause", "app"]).await.0, Some(0));
    let trouble = wait_trouble(&proxy, "database_paused").await;
    assert_eq!(
        trouble["sentence"],
        "database app is paused: its clients wait"
    );
    let (code, said) = run(&proxy, &["status"]).await;
    assert!(
        code == Some(1) && said.contains("pgvalet resume app"),
        "{said}"
    );
    assert_eq!(run(&proxy, &["resume", "app"]).await.0, Some(0));
    wait_over(&proxy, "database_paused").await;
}

/// Older versions are tried behind AWSCURRENT, and how they are refused says little.
#[tokio::test(flavor = "multi_thread")]
async fn why_awscurrent_does_not_log_in_is_what_people_are_told() {
    let cluster = Cluster::start().await;
    let same = "pool_wait_timeout = \"4s\"\nrotation_grace = \"4s\"";
    let proxy = app(&cluster, same).await;
    proxy.rotate(&cluster, "app_user").await;
    cluster
        .execute(
            "alter role app_user nologin; \
             select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_user'",
        )
        .await;
    ask_in_vain(&proxy).await;
    eventually(
        "the reason of AWSCURRENT",
        Duration::from_secs(20),
        || async {
            let trouble = wait_trouble(&proxy, "no_login").await;
            let sentence = trouble["sentence"].as_str()?.to_owned();
            sentence.contains("28000").then_some(())
        },
    )
    .await;
    // Nor is a client told that the pool is full, whose wait ends first.
    let refused = connect(&proxy.dsn("app")).await;
    let answer = match refused {
        Ok(session) => session.simple_query("select 1").await.err(),
        Err(e) => Some(e),
    };
    let code = answer.and_then(|e| e.code().cloned());
    assert_eq!(code.expect("an error").code(), "57P03");
}

/// A mistake in the file is no reason to be unable to ask, and steer, the proxy that runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_although_its_file_has_mistakes() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    let good = fs::read_to_string(proxy.config()).expect("read");
    for wrong in [
        good.replace("[database.app]", "[database.app]\npool_sise = 4"),
        format!("{good}\n[database.app2]\nsecret = \n"),
        format!("{good}\n[[client]]\nname = \"x\"\ndatabases = [\"nowhere\"]\n"),
    ] {
        fs::write(proxy.config(), wrong).expect("written");
        for args in [
            &["health"][..],
            &["clients"],
            &["pause", "app"],
            &["resume", "app"],
        ] {
            let (code, said) = run(&proxy, args).await;
            assert_eq!(code, Some(0), "{args:?}: {said}");
            assert!(said.contains("mistakes"), "{said}");
        }
        let (code, _) = run(&proxy, &["secret", "list"]).await;
        assert_eq!(code, Some(2), "others need all of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_no_credential_is_named() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    proxy.secret_put("app", "{\"username\":\"app_user\"}").await;
    let trouble = wait_trouble(&proxy, "secret_unread").await;
    assert_eq!(trouble["secret"], "app");
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("stays in force"), "{sentence}");
    let (_, said) = run(&proxy, &["status"]).await;
    assert!(said.contains("app       no secret "), "{said}");
}

/// Every write to this device fails as on a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_that_cannot_be_written_makes_the_proxy_unready() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "").prepare();
    let config = fs::read_to_string(proxy.config()).expect("read");
    let file = format!("path = \"{}/audit.jsonl\"", proxy.directory().display());
    assert!(config.contains(&file));
    let config = config.replace(&file, "path = \"stdout\"\non_failure = \"deny\"");
    fs::write(proxy.config(), config).expect("written");
    let program = std::env::var("PGVALET_BINARY").unwrap_or(PGVALET.to_owned());
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" > /dev/full", &program]);
    proxy.run_by(command);
    proxy.wait_for("/livez").await;

    let trouble = wait_trouble(&proxy, "audit_fails").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    for part in ["No space left on device", "clients are refused"] {
        assert!(sentence.contains(part), "{part} is missing in {sentence}");
    }
    eventually("not ready", Duration::from_secs(20), || async {
        // An attempt: without one the log gets another chance from time to time.
        assert!(connect(&proxy.dsn("app")).await.is_err());
        let (code, reason) = proxy.get("/readyz").await;
        (code == 503 && reason.contains("No space left") && reason.lines().count() == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_sink_that_takes_nothing_is_named_until_it_does() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("syslog");
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .audit(&format!(
            "[[audit.sink]]\nkind = \"syslog\"\nname = \"siem\"\naddress = \"unix:{}\"\n",
            socket.display()
        ))
        .start()
        .await;
    let trouble = wait_trouble(&proxy, "audit_sink_behind").await;
    assert_eq!(trouble["sink"], "siem", "{trouble}");
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    for part in ["audit sink siem", "does not take records", "wait"] {
        assert!(sentence.contains(part), "{part} is missing in {sentence}");
    }
    let labels = ["kind=\"audit_sink_behind\""];
    assert_eq!(proxy.metric("pgvalet_trouble", &labels).await, Some(1.0));
    let (code, said) = run(&proxy, &["health"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("audit sink siem"), "{said}");
    logged(&proxy, "the audit sink siem does not take records").await;
    // It holds up nobody meanwhile.
    proxy.connect("app").await.value("SELECT 1").await;

    let server = std::os::unix::net::UnixDatagram::bind(&socket).expect("bound");
    std::thread::spawn(move || while server.recv(&mut [0; 65_536]).is_ok() {});
    wait_over(&proxy, "audit_sink_behind").await;
    assert_eq!(run(&proxy, &["health"]).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_failed_is_remembered_until_one_works() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    let good = fs::read_to_string(proxy.config()).expect("read");
    fs::write(proxy.config(), good.replace("[audit]", "[audti]")).expect("written");
    proxy.signal(Signal::SIGHUP);
    let trouble = wait_trouble(&proxy, "reload_failed").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("audti"), "{sentence}");
    fs::write(proxy.config(), good).expect("written");
    proxy.signal(Signal::SIGHUP);
    wait_over(&proxy, "reload_failed").await;
}

/// A mistake in the very lines that say where the proxy and its token are does not keep anybody
/// from steering it.
#[tokio::test(flavor = "multi_thread")]
async fn commands_find_a_proxy_whose_file_is_misspelt() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "").await;
    let good = fs::read_to_string(proxy.config()).expect("read");
    for (right, wrong) in [
        ("[audit]\n", "[audti]\n"),
        ("[audit]\npath", "[audit]\npth"),
        ("[admin]\n", "[admn]\n"),
        ("[admin]\naddress", "[admin]\nadress"),
    ] {
        let text = good.replace(right, wrong);
        assert_ne!(text, good, "{right}");
        fs::write(proxy.config(), text).expect("written");
        for command in ["pause", "resume"] {
            let (code, said) = run(&proxy, &[command, "app"]).await;
            assert_eq!(code, Some(0), "{wrong}: {said}");
            assert!(said.contains("although its file has mistakes"), "{said}");
        }
    }
    fs::write(proxy.config(), good).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_wait_and_drains_that_do_not_end_are_named() {
    let cluster = Cluster::start().await;
    let proxy = app(&cluster, "pool_size = 2\ndrain_timeout = \"1s\"").await;
    let mut holders = Vec::new();
    for _ in 0..2 {
        let holder = proxy.connect("app").await;
        holder.value("begin; select 1").await;
        holders.push(holder);
    }
    let dsn = proxy.dsn("app");
    let waiting = tokio::spawn(async move {
        let waiting = connect(&dsn).await.expect("let in");
        waiting.value("select 1").await
    });
    let trouble = wait_trouble(&proxy, "pool_exhausted").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.contains("all 2 of pool_size are in use"),
        "{sentence}"
    );
    let status = proxy.status().await;
    assert!(status["databases"][0]["longest_wait_ms"].as_u64() >= Some(5000));
    let freed = holders.pop().expect("two");
    freed.value("rollback; select 1").await;
    assert_eq!(waiting.await.expect("ended"), "1");
    wait_over(&proxy, "pool_exhausted").await;

    proxy.rotate(&cluster, "app_user").await;
    let trouble = wait_trouble(&proxy, "drain_overdue").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("held by api (1)"), "{sentence}");
    let (_, said) = run(&proxy, &["status", "--database", "app"]).await;
    assert!(said.contains("in a transaction"), "{said}");
    let holder = holders.pop().expect("one");
    holder.value("rollback; select 1").await;
    wait_over(&proxy, "drain_overdue").await;
    let (code, said) = run(&proxy, &["status", "--database", "ap"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("did you mean \"app\""), "{said}");
}
