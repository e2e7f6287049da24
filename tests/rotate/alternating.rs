//! Two users that take turns.

use serde_json::Value;

use super::common::moto::Moto;
use super::common::{Cluster, cli, connect, new_password};
use super::scene::Scene;

const ALTERNATE: [&str; 4] = ["--strategy", "alternating", "--admin-secret", "admin"];

async fn facts(scene: &Scene, role: &str) -> Vec<String> {
    let admin = scene.cluster.superuser().await;
    let sql = format!(
        "SELECT concat_ws('/', rolconnlimit, rolvaliduntil, rolconfig, rolinherit) FROM pg_roles WHERE rolname = '{role}'
         UNION ALL
         SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
         WHERE m.member = '{role}'::regrole AND r.rolname !~ '^app_user'"
    );
    let mut facts = admin.column(&sql).await;
    facts.sort();
    facts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_take_turns_and_stay_alike() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let scene = Scene::new(cluster).await;
        scene.admin().await;
        for sql in [
            "ALTER SYSTEM SET log_statement = 'all'",
            "SELECT pg_reload_conf()",
        ] {
            scene.cluster.execute(sql).await;
        }
        let with_admin = if scene.cluster.binaries.major >= 16 {
            " WITH ADMIN OPTION"
        } else {
            ""
        };
        let sql = format!(
            "CREATE TABLE t(id int); GRANT SELECT, INSERT ON t TO app_user;
             CREATE ROLE readers; GRANT readers TO rotator{with_admin}; GRANT readers TO app_user;
             ALTER ROLE app_user CONNECTION LIMIT 40 VALID UNTIL '2044-05-06 07:08:09+00';
             ALTER ROLE app_user SET search_path = \"$user\", \"a b\", public;
             ALTER ROLE app_user IN DATABASE postgres SET work_mem = '8MB'"
        );
        scene.cluster.execute(&sql).await;
        let first = scene.current();
        scene.rotate_ok(&ALTERNATE).await;
        let second = scene.current();
        assert_eq!(second["username"], "app_user_clone");
        scene.assert_whole().await;
        assert!(
            scene.logs_in(&first).await,
            "the one that leaves stays valid"
        );
        assert_eq!(
            facts(&scene, "app_user_clone").await,
            facts(&scene, "app_user").await
        );

        // What is granted and set later is not forgotten.
        let sql = format!(
            "CREATE ROLE writers; GRANT writers TO rotator{with_admin}; GRANT writers TO app_user_clone;
             ALTER ROLE app_user_clone SET statement_timeout = '5s' ;
             ALTER ROLE app_user_clone IN DATABASE postgres RESET work_mem;
             ALTER ROLE app_user_clone CONNECTION LIMIT 50"
        );
        scene.cluster.execute(&sql).await;
        scene.rotate_ok(&ALTERNATE).await;
        let third = scene.current();
        assert_eq!(third["username"], "app_user");
        assert!(!scene.logs_in(&first).await, "its password is a new one");
        assert!(scene.logs_in(&second).await && scene.logs_in(&third).await);
        assert_eq!(
            facts(&scene, "app_user").await,
            facts(&scene, "app_user_clone").await
        );
        assert!(
            facts(&scene, "app_user")
                .await
                .contains(&"writers".to_owned())
        );
        scene.rotate_ok(&ALTERNATE).await;
        let fourth = scene.current();
        assert_eq!(fourth["username"], "app_user_clone");
        scene.assert_whole().await;
        let log = scene.cluster.log();
        assert!(log.contains("CREATE ROLE \"app_user_clone\" LOGIN PASSWORD 'SCRAM-SHA-256$"));
        assert!(log.contains("ALTER ROLE \"app_user_clone\" PASSWORD 'SCRAM-SHA-256$"));
        for value in [&second, &third, &fourth] {
            let password = value["password"].as_str().expect("text");
            assert!(!log.contains(password), "a password is in the server's log");
        }
    }
}

/// A secret as the multi-user template of AWS leaves it: the admin is named in
/// it, and nothing has to be said.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_multi_user_template_goes_on() {
    let listed = "[rotation]\nadmin_secrets = [\"admin\"]";
    let scene = Scene::with(Cluster::start().await, "app_user", listed).await;
    scene.admin().await;
    let text = cli::pgvalet_ok(
        &scene.proxy.config(),
        &["secret", "describe", "admin", "--json"],
        "",
    );
    let admin: Value = serde_json::from_str(&text).expect("JSON");
    let mut value = scene.current();
    value["masterarn"] = admin["ARN"].clone();
    scene.put(&value.to_string(), &[]);
    for user in ["app_user_clone", "app_user", "app_user_clone"] {
        scene.rotate_ok(&[]).await;
        let current = scene.current();
        assert_eq!(
            (&current["username"], &current["masterarn"]),
            (&user.into(), &admin["ARN"])
        );
        scene.assert_whole().await;
    }
}

/// Two users take turns by the same two conventions in moto's Secrets Manager.
#[tokio::test(flavor = "multi_thread")]
async fn two_users_take_turns_in_another_store() {
    let moto = Moto::start();
    let listed = "[rotation]\nadmin_secrets = [\"admin\"]";
    let scene = Scene::in_moto(Cluster::start().await, &moto, listed).await;
    scene.admin().await;
    for user in ["app_user_clone", "app_user"] {
        scene.rotate_ok(&ALTERNATE).await;
        assert_eq!(scene.current()["username"], user);
        scene.assert_whole().await;
    }
    let describe = ["secret", "describe", "admin", "--json"];
    let text = cli::pgvalet_ok(&scene.proxy.config(), &describe, "");
    let admin: Value = serde_json::from_str(&text).expect("JSON");
    let mut value = scene.current();
    value["masterarn"] = admin["ARN"].clone();
    // A value put straight under AWSCURRENT would leave moto with two of them.
    let token = "0123456789abcdef0123456789abcdef";
    let old = scene.labelled("AWSCURRENT").expect("a version");
    scene.put(
        &value.to_string(),
        &["--stage", "AWSPENDING", "--token", token],
    );
    let stage = ["secret", "stage", "app", "AWSCURRENT", "--to", token];
    let stage = [&stage[..], &["--from", &old]].concat();
    cli::pgvalet_ok(&scene.proxy.config(), &stage, "");
    for user in ["app_user_clone", "app_user", "app_user_clone"] {
        scene.rotate_ok(&[]).await;
        let current = scene.current();
        assert_eq!(current["username"], user);
        assert_eq!(current["masterarn"], admin["ARN"]);
        scene.assert_whole().await;
    }
}

/// Objects belong to who makes them: with the convention of the templates the
/// other user may not even read them. That is found before AWSCURRENT moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_stops_the_rotation() {
    let scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    scene.rotate_ok(&ALTERNATE).await;
    let before = scene.labelled("AWSCURRENT");
    scene
        .cluster
        .execute("SET ROLE app_user_clone; CREATE TABLE drifted(id int)")
        .await;
    let said = scene.rotate_fails(&ALTERNATE).await;
    for part in [
        "\"app_user\" can not do what \"app_user_clone\" can",
        "relation public.drifted: SELECT",
        "relation public.drifted: OWNER",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert_eq!(scene.labelled("AWSCURRENT"), before);
    assert!(scene.logs_in(&scene.current()).await);
    // The next attempt, once it is mended, has a password of its own.
    assert_eq!(scene.labelled("AWSPENDING"), None);
    scene
        .cluster
        .execute("ALTER TABLE drifted OWNER TO app_user")
        .await;
    scene.rotate_ok(&ALTERNATE).await;
    scene.assert_whole().await;
}

/// Two logins, one owner that cannot log in: nothing drifts.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_of_everything() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let mut scene = Scene::new(cluster).await;
        scene.admin().await;
        let with_admin = if scene.cluster.binaries.major >= 16 {
            " WITH ADMIN OPTION"
        } else {
            ""
        };
        let sql = format!(
            "CREATE ROLE app_owner NOLOGIN; GRANT app_owner TO app_user;
             GRANT app_owner TO rotator{with_admin};
             ALTER ROLE app_user SET role = app_owner; GRANT ALL ON SCHEMA public TO app_owner"
        );
        scene.cluster.execute(&sql).await;
        scene.proxy.run();
        scene.proxy.wait_ready().await;
        let client = scene.proxy.connect("app").await;
        client.value("create table made_0(id int)").await;
        for (n, user) in ["app_user_clone", "app_user", "app_user_clone"]
            .iter()
            .enumerate()
        {
            let version = scene.rotate_ok(&ALTERNATE).await;
            scene.proxy.wait_in_force("app", &version).await;
            let newcomer = scene.proxy.connect("app").await;
            super::common::eventually(
                "the new user",
                std::time::Duration::from_secs(10),
                || async { (newcomer.value("select session_user").await == *user).then_some(()) },
            )
            .await;
            assert_eq!(newcomer.value("select current_user").await, "app_owner");
            let n = n + 1;
            newcomer
                .value(&format!("create table made_{n}(id int)"))
                .await;
            newcomer.value(&format!("drop table made_{}", n - 1)).await;
            scene.assert_whole().await;
        }
        // The clone is a member of the owner, and not of the other login.
        let sql = "select count(*) from pg_auth_members where member = 'app_user_clone'::regrole and roleid = 'app_user'::regrole";
        assert_eq!(scene.cluster.superuser().await.value(sql).await, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_password_changed_that_is_not_his() {
    let scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    // Whoever may write the secret names another role in it.
    scene
        .cluster
        .execute("CREATE ROLE victim LOGIN PASSWORD 'unknown'")
        .await;
    let mut value = scene.current();
    value["username"] = "victim".into();
    value["password"] = new_password().into();
    scene.put(&value.to_string(), &[]);
    for args in [&ALTERNATE[..], &ALTERNATE[2..]] {
        let said = scene.rotate_fails(args).await;
        assert!(
            said.contains("no version of secret \"app\" logs in as \"victim\""),
            "{said}"
        );
    }
    // Nor does a pending version redirect it.
    let mut value = scene.value(&["--stage", "AWSPREVIOUS"]).expect("the first");
    scene.put(&value.to_string(), &[]);
    value["host"] = "evil.example.com".into();
    scene.put(&value.to_string(), &["--stage", "AWSPENDING"]);
    let said = scene.rotate_fails(&[]).await;
    assert!(
        said.contains("names another host than AWSCURRENT"),
        "{said}"
    );
    let roles = scene
        .cluster
        .superuser()
        .await
        .column("select rolname from pg_roles")
        .await;
    assert!(!roles.contains(&"victim_clone".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_alternate_is_said() {
    let cluster = Cluster::start().await;
    let scene = Scene::with(cluster, &"x".repeat(60), "").await;
    let nobody = scene.cluster.secret("nobody", &new_password());
    scene.proxy.secret_create("admin", &nobody);
    let said = scene.rotate_fails(&ALTERNATE).await;
    assert!(said.contains("too long for an alternate"), "{said}");
    let said = scene.rotate_fails(&["--strategy", "alternating"]).await;
    assert!(said.contains("too long"), "{said}");
}

/// Whatever the user that leaves may do and the other may not, be it one
/// right, stops the rotation, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_stops_the_rotation() {
    let scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    let sql = "CREATE SCHEMA s; CREATE TABLE s.t(id int, name text); CREATE SEQUENCE s.q;
               CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'select 1';
               REVOKE ALL ON FUNCTION s.f() FROM public; CREATE ROLE readers;
               CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA s TO app_user";
    scene.cluster.execute(sql).await;
    scene.rotate_ok(&ALTERNATE).await;
    let before = scene.labelled("AWSCURRENT");
    let mut cases = vec![
        (
            "REVOKE CONNECT ON DATABASE postgres FROM public;
             GRANT CONNECT ON DATABASE postgres TO app_user_clone, rotator",
            "GRANT CONNECT ON DATABASE postgres TO public",
            "permission denied for database \"postgres\"",
        ),
        (
            "GRANT CREATE ON DATABASE postgres TO app_user_clone",
            "REVOKE CREATE ON DATABASE postgres FROM app_user_clone",
            "database: CREATE",
        ),
        (
            "GRANT USAGE ON SCHEMA hidden TO app_user_clone",
            "REVOKE USAGE ON SCHEMA hidden FROM app_user_clone",
            "schema hidden: USAGE",
        ),
        (
            "GRANT SELECT ON s.t TO app_user_clone",
            "REVOKE SELECT ON s.t FROM app_user_clone",
            "relation s.t: SELECT",
        ),
        (
            "GRANT UPDATE (name) ON s.t TO app_user_clone",
            "REVOKE UPDATE (name) ON s.t FROM app_user_clone",
            "relation s.t: UPDATE of columns",
        ),
        (
            "GRANT USAGE ON s.q TO app_user_clone",
            "REVOKE USAGE ON s.q FROM app_user_clone",
            "relation s.q: USAGE",
        ),
        (
            "GRANT EXECUTE ON FUNCTION s.f() TO app_user_clone",
            "REVOKE EXECUTE ON FUNCTION s.f() FROM app_user_clone",
            "function s.f(): EXECUTE",
        ),
        // What the admin may not give is missed before that.
        (
            "ALTER ROLE app_user_clone SET log_statement = 'none'",
            "ALTER ROLE app_user_clone RESET log_statement",
            "log_statement",
        ),
        (
            "GRANT readers TO app_user_clone",
            "REVOKE readers FROM app_user_clone",
            "readers",
        ),
    ];
    if scene.cluster.binaries.major >= 16 {
        cases.push((
            "GRANT readers TO app_user WITH INHERIT FALSE; GRANT readers TO app_user_clone",
            "REVOKE readers FROM app_user, app_user_clone",
            "role readers: USAGE",
        ));
    }
    for (take, give_back, named) in cases {
        scene.cluster.execute(take).await;
        let said = scene.rotate_fails(&ALTERNATE).await;
        assert!(said.contains(named), "{named:?} is missing in:\n{said}");
        assert_eq!(scene.labelled("AWSCURRENT"), before, "{take}");
        assert!(scene.logs_in(&scene.current()).await);
        scene.cluster.execute(give_back).await;
    }
    scene.rotate_ok(&ALTERNATE).await;
    scene.assert_whole().await;
}

/// Names that need care, and one that differs from another in its case only.
#[tokio::test(flavor = "multi_thread")]
async fn any_name_takes_turns() {
    let mut cluster = Cluster::start().await;
    let twin = new_password();
    cluster.create_role("app", &twin).await;
    let quoted = "with \"quotes\" and 'others'".to_owned();
    for name in ["App".to_owned(), quoted, "ü".repeat(28) + "x"] {
        let scene = Scene::with(cluster, &name, "").await;
        let (password, role) = (new_password(), name.replace('"', "\"\""));
        let mut sql = format!(
            "DROP ROLE IF EXISTS rotator; CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '{password}';"
        );
        if scene.cluster.binaries.major >= 16 {
            sql += &format!("GRANT \"{role}\" TO rotator WITH ADMIN OPTION");
        }
        scene.cluster.execute(&sql).await;
        let value = scene.cluster.secret("rotator", &password);
        scene.proxy.secret_create("admin", &value);
        for user in [format!("{name}_clone"), name.clone()] {
            scene.rotate_ok(&ALTERNATE).await;
            assert_eq!(scene.current()["username"], user.as_str());
            scene.assert_whole().await;
        }
        // Its grants to the clone hold the admin; they go with it.
        let sql = format!("DROP OWNED BY rotator; DROP ROLE \"{role}_clone\"");
        scene.cluster.execute(&sql).await;
        cluster = scene.cluster;
    }
    let app = serde_json::json!({"username": "app", "password": twin});
    let proxy = super::common::Proxy::builder().prepare();
    let scene = Scene { cluster, proxy };
    assert!(scene.logs_in(&app).await, "the twin's password changed");
    let sql = "select rolname from pg_roles where rolname ilike 'app%'";
    let mut roles = scene.cluster.superuser().await.column(sql).await;
    roles.sort();
    assert_eq!(roles, ["App", "app"]);
}

/// The emergency with two users: the one that leaked has no session and no
/// password any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_user_that_leaked_is_shut_out() {
    let mut scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let client = scene.proxy.connect("app").await;
    client.value("select 1").await;
    let old = scene.current();
    let dsn = format!(
        "host=127.0.0.1 port={} dbname=postgres user=app_user password={}",
        scene.cluster.port,
        old["password"].as_str().expect("text")
    );
    let thief = connect(&dsn).await.expect("the leaked password");
    let emergency = ["--now", "--terminate-old", "--drain", "300ms"];
    let output = scene.rotate(&[&ALTERNATE[..], &emergency].concat()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    for part in [
        "the proxy adopted the new version",
        "were ended, 0 remain",
        "\"app_user\" has no password until the next rotation",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert!(thief.simple_query("select 1").await.is_err());
    assert!(!scene.logs_in(&old).await, "the leaked password logs in");
    assert_eq!(client.value("select session_user").await, "app_user_clone");
    let args = ["audit", "query", "--event", "rotation.step", "--json"];
    let found = cli::pgvalet_ok(&scene.proxy.config(), &args, "");
    assert!(found.contains("were ended, 0 remain"), "{found}");
    // The next rotation gives it a new one.
    scene.rotate_ok(&ALTERNATE).await;
    assert_eq!(scene.current()["username"], "app_user");
    scene.assert_whole().await;
}
