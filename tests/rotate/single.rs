//! Rotations of one user, whose password changes.

use super::common::{Cluster, cli, connect, new_password};
use super::scene::{Scene, errors};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_changes_and_is_in_no_statement() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let scene = Scene::new(cluster).await;
        let sql = "ALTER SYSTEM SET log_statement = 'all'";
        scene.cluster.execute(sql).await;
        scene.cluster.execute("SELECT pg_reload_conf()").await;
        let mut old = scene.current();
        let first = scene.labelled("AWSCURRENT");
        let mut passwords = vec![];
        let mut before = first.clone();
        for _ in 0..3 {
            let version = scene.rotate_ok(&[]).await;
            let new = scene.current();
            assert_eq!(scene.labelled("AWSCURRENT"), Some(version.clone()));
            assert_eq!(scene.labelled("AWSPREVIOUS"), before);
            scene.assert_whole().await;
            assert!(!scene.logs_in(&old).await, "the old password still logs in");
            let password = new["password"].as_str().expect("text").to_owned();
            assert_eq!(password.len(), 32);
            assert!(!password.contains([':', '/', '@', '"', '\'', '\\']));
            // Nothing else in the value changes.
            let mut expected = old.clone();
            expected["password"] = password.as_str().into();
            assert_eq!(new, expected);
            passwords.push(password);
            (old, before) = (new, Some(version));
        }
        let log = scene.cluster.log();
        assert!(log.contains("ALTER ROLE \"app_user\" PASSWORD 'SCRAM-SHA-256$4096:"));
        assert!(
            !passwords.iter().any(|p| log.contains(p)),
            "a password is in the server's log"
        );
        let steps = [
            "begin",
            "createSecret",
            "setSecret",
            "testSecret",
            "finishSecret",
            "verify",
        ];
        let expected: Vec<_> = (0..18)
            .map(|n| (steps[n % 6].to_owned(), "success".to_owned()))
            .collect();
        assert_eq!(scene.steps(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_that_postgres_takes() {
    let names = [
        "Ünïcode Üser".to_owned(),
        "UPPER".to_owned(),
        "with \"quotes\" and 'others'".to_owned(),
        "back\\slash".to_owned(),
        "semi; DROP ROLE x; --".to_owned(),
        "select".to_owned(),
        "x".repeat(63),
        "ü".repeat(31),
    ];
    let mut cluster = Cluster::start().await;
    for name in names {
        let scene = Scene::with(cluster, &name, "").await;
        scene.rotate_ok(&[]).await;
        scene.assert_whole().await;
        cluster = scene.cluster;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_can_do_it_who_is_no_superuser() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let scene = Scene::new(cluster).await;
        scene.admin().await;
        let old = scene.current();
        scene.rotate_ok(&["--admin-secret", "admin"]).await;
        scene.assert_whole().await;
        assert!(!scene.logs_in(&old).await);
        if scene.cluster.binaries.major >= 16 {
            scene
                .cluster
                .execute("REVOKE ADMIN OPTION FOR app_user FROM rotator")
                .await;
            let said = scene.rotate_fails(&["--admin-secret", "admin"]).await;
            assert!(
                said.contains("42501") && said.contains("ADMIN OPTION"),
                "{said}"
            );
            // A failed attempt leaves nothing pending, and all as it was.
            scene.assert_whole().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_tls_are_those_of_the_database() {
    let cluster = Cluster::start().await;
    let ca = cluster.ca().display().to_string();
    let tls = format!("host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = \"{ca}\"");
    let scene = Scene::with(cluster, "app_user", &tls).await;
    scene.rotate_ok(&[]).await;
    scene.assert_whole().await;
    // Another authority: no rotation, and above all none without TLS.
    let other = Cluster::start().await;
    let config = std::fs::read_to_string(scene.proxy.config()).expect("the file");
    let wrong = config.replace(&ca, &other.ca().display().to_string());
    std::fs::write(scene.proxy.config(), wrong).expect("written");
    let said = scene.rotate_fails(&[]).await;
    assert!(said.contains("TLS with localhost"), "{said}");
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn md5_only_where_it_is_allowed() {
    let scene = Scene::new(Cluster::start().await).await;
    let sql = "ALTER ROLE app_user SET password_encryption = 'md5'";
    scene.cluster.execute(sql).await;
    let before = scene.labelled("AWSCURRENT");
    let said = scene.rotate_fails(&[]).await;
    assert!(
        said.contains("password_encryption") && said.contains("allow_md5"),
        "{said}"
    );
    assert_eq!(scene.labelled("AWSCURRENT"), before);
    assert_eq!(scene.labelled("AWSPENDING"), None);
    assert!(scene.logs_in(&scene.current()).await);

    // Allowed, but the role logs in by SCRAM: it keeps doing so.
    let config = std::fs::read_to_string(scene.proxy.config()).expect("the file");
    let allowed = config.replace("secret = \"app\"", "secret = \"app\"\nallow_md5 = true");
    std::fs::write(scene.proxy.config(), allowed).expect("written");
    scene.rotate_ok(&[]).await;
    scene.assert_whole().await;

    // A role that logs in by md5.
    let password = new_password();
    let sql = format!("SET password_encryption = 'md5'; ALTER ROLE app_user PASSWORD '{password}'");
    scene.cluster.execute(&sql).await;
    scene.cluster.permit("md5").await;
    let mut value = scene.current();
    value["password"] = password.into();
    scene.put(&value.to_string(), &[]);
    scene.rotate_ok(&[]).await;
    scene.assert_whole().await;
    let sql = "select left(rolpassword, 3) from pg_authid where rolname = 'app_user'";
    assert_eq!(scene.cluster.superuser().await.value(sql).await, "md5");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rotators_one_rotates() {
    let scene = Scene::new(Cluster::start().await).await;
    let (json, all) = (["--json"], 6);
    let outputs = futures_util::future::join_all((0..all).map(|_| scene.rotate(&json))).await;
    let mut endings = Vec::new();
    for output in &outputs {
        assert!(output.status.success(), "{}", errors(output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = said.lines().last().unwrap_or_default();
        let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
        endings.push(last["outcome"].as_str().expect("text").to_owned());
    }
    scene.assert_whole().await;
    // Who came when all was over rotated again; who waited did not.
    let rotated = endings.iter().filter(|e| *e == "rotated").count();
    assert!(rotated >= 1 && rotated < all, "{endings:?}");
    let finished = outputs
        .iter()
        .map(|o| {
            String::from_utf8_lossy(&o.stdout)
                .matches("\"finishSecret\"")
                .count()
        })
        .sum::<usize>();
    assert_eq!(finished, rotated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() {
    let more = "rotation = { schedule = \"cron(0 3 ? * SUN *)\", window = \"3h\" }";
    let scene = Scene::with(Cluster::start().await, "app_user", more).await;
    let before = scene.labels();
    let said = cli::pgvalet_ok(&scene.proxy.config(), &["rotate", "--dry-run"], "");
    for part in [
        "app ([database.app])",
        "a new password for \"app_user\", by the user itself (single)",
        "T03:00:00Z to ",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    let said = cli::pgvalet_ok(
        &scene.proxy.config(),
        &["rotate", "--dry-run", "--json"],
        "",
    );
    let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(3));
    assert_eq!(scene.labels(), before);
    assert!(scene.logs_in(&scene.current()).await);
    let unknown = cli::pgvalet(&scene.proxy.config(), &["rotate"], "");
    assert_eq!(unknown.status.code(), Some(2));
    let unknown = cli::pgvalet(&scene.proxy.config(), &["rotate", "no/such"], "");
    assert_eq!(unknown.status.code(), Some(2), "{}", errors(&unknown));
}

/// The emergency: the password has leaked, and whoever has it is logged in.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_leaked_password_end() {
    let mut scene = Scene::new(Cluster::start().await).await;
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let client = scene.proxy.connect("app").await;
    client.value("select 1").await;
    let old = scene.current();
    let thief = connect(&format!(
        "host=127.0.0.1 port={} dbname=postgres user=app_user password={}",
        scene.cluster.port,
        old["password"].as_str().expect("text")
    ))
    .await
    .expect("the leaked password");
    let version = scene
        .rotate_ok(&["--now", "--terminate-old", "--drain", "300ms"])
        .await;
    assert!(
        thief.simple_query("select 1").await.is_err(),
        "the thief is still logged in"
    );
    // The proxy's client goes on: its connections were moved before.
    assert_eq!(client.value("select 1").await, "1");
    scene.proxy.wait_in_force("app", &version).await;
    let sql = "select count(*) from pg_stat_activity where usename = 'app_user'";
    let left = scene.cluster.superuser().await.value(sql).await;
    assert_ne!(left, "0", "the proxy's own connections stay");
    // The log is the proxy's, so the records are beside it.
    let beside = scene.proxy.config().with_file_name("audit.rotate-1.jsonl");
    let text = std::fs::read_to_string(beside).expect("the records");
    assert!(text.contains("\"step\":\"terminate\""), "{text}");
    assert!(text.contains("were ended, 0 remain"), "{text}");
    let args = ["audit", "query", "--event", "rotation.step", "--secret"];
    let asked = [&args[..], &["app", "--json"]].concat();
    let found = cli::pgvalet_ok(&scene.proxy.config(), &asked, "");
    assert!(found.contains("\"step\":\"terminate\""), "{found}");
    for password in [&old["password"], &scene.current()["password"]] {
        assert!(!text.contains(password.as_str().expect("text")));
    }
    scene.assert_whole().await;
}
