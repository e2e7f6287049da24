//! Two users that take turns.

use serde_json::Value;

use super::common::{Cluster, cli, new_password};
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
        assert_eq!(scene.current()["username"], "app_user_clone");
        scene.assert_whole().await;
    }
}

/// A secret as the multi-user template of AWS leaves it: the admin is named in
/// it, and nothing has to be said.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_multi_user_template_goes_on() {
    let scene = Scene::new(Cluster::start().await).await;
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
