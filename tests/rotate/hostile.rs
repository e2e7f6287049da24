//! Somebody who may write one secret writes into it what could lead another
//! secret's password to a server of their own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::common::{Cluster, cli, eventually, new_password};
use super::scene::Scene;

/// Passes everything on to the real server, and remembers who logs in.
struct Relay {
    port: u16,
    users: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("bound").port();
        let users = Arc::new(Mutex::new(Vec::new()));
        let seen = users.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let length = client.read_u32().await.ok()?;
                    let mut startup = vec![0; length as usize - 4];
                    client.read_exact(&mut startup).await.ok()?;
                    let text = String::from_utf8_lossy(&startup).into_owned();
                    let mut words = text.split('\0').skip_while(|w| !w.ends_with("user"));
                    let user = words.nth(1).unwrap_or_default().to_owned();
                    seen.lock().expect("not poisoned").push(user);
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                    server.write_u32(length).await.ok()?;
                    server.write_all(&startup).await.ok()?;
                    copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        Self { port: own, users }
    }

    fn users(&self) -> Vec<String> {
        self.users.lock().expect("not poisoned").clone()
    }
}

/// A scene in which `admin` may change roles; `more` follows `[database.app]`.
async fn scene(more: &str) -> (Scene, Relay) {
    let scene = Scene::with(Cluster::start().await, "app_user", more).await;
    scene.admin().await;
    let relay = Relay::to(scene.cluster.port).await;
    (scene, relay)
}

fn arn(scene: &Scene, secret: &str) -> String {
    let describe = ["secret", "describe", secret, "--json"];
    let text = cli::pgvalet_ok(&scene.proxy.config(), &describe, "");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["ARN"].as_str().expect("an ARN").to_owned()
}

fn value_of(scene: &Scene, secret: &str) -> Value {
    let get = ["secret", "get", secret, "--reveal"];
    serde_json::from_str(&cli::pgvalet_ok(&scene.proxy.config(), &get, "")).expect("JSON")
}

/// The current value with other fields; `admin` is never seen by the relay.
async fn refused(scene: &Scene, relay: &Relay, fields: Value, args: &[&str], says: &[&str]) {
    let mut value = scene.current();
    for (key, field) in fields.as_object().expect("an object") {
        value[key] = field.clone();
    }
    let before = scene.current();
    scene.put(&value.to_string(), &[]);
    let said = scene.rotate_fails(args).await;
    for part in says {
        assert!(
            said.contains(part),
            "{fields}: {part:?} is missing in {said}"
        );
    }
    let users = relay.users();
    assert!(users.iter().all(|u| u == "app_user"), "{fields}: {users:?}");
    scene.put(&before.to_string(), &[]);
}

const BOTH: [&str; 4] = ["--strategy", "alternating", "--admin-secret", "admin"];

#[tokio::test(flavor = "multi_thread")]
async fn a_value_names_no_administrator_that_is_not_listed() {
    let (scene, relay) = scene("").await;
    let password = new_password();
    scene
        .cluster
        .execute(&format!(
            "CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{password}'"
        ))
        .await;
    let value = scene.cluster.secret("boss", &password);
    scene.proxy.secret_create("team-x/superuser", &value);
    let whole = arn(&scene, "team-x/superuser");
    let partial = whole.rsplit_once('-').expect("a suffix").0.to_owned();
    for id in ["team-x/superuser", &whole, &partial] {
        let fields = json!({"port": relay.port, "masterarn": id});
        let says = ["does not list", "[rotation] admin_secrets", "[secret."];
        refused(&scene, &relay, fields, &[], &says).await;
        let fields = json!({"masterarn": id});
        refused(&scene, &relay, fields, &BOTH[..2], &says).await;
    }
    let mut value = scene.current();
    value["masterarn"] = whole.as_str().into();
    scene.put(&value.to_string(), &[]);
    let preview = scene.rotate(&["--dry-run"]).await;
    let said = String::from_utf8_lossy(&preview.stdout);
    assert!(said.contains("does not list"), "{said}");
    assert_eq!(relay.users(), [] as [&str; 0]);
    // Where one user rotates alone, nobody else is asked for.
    scene.rotate_ok(&["--strategy", "single"]).await;
    scene.assert_whole().await;
}

/// A secret's ARN without its suffix may look like the whole ARN of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resembles_a_listed_one_is_another() {
    let (scene, relay) = scene("[rotation]\nadmin_secrets = [\"admin\"]").await;
    let value = scene.cluster.secret("postgres", &new_password());
    scene.proxy.secret_create("admin-secret", &value);
    let whole = arn(&scene, "admin-secret");
    let partial = whole.rsplit_once('-').expect("a suffix").0;
    for id in ["admin-secret", &whole, partial, "admin*", "ADMIN", "admin "] {
        let fields = json!({"masterarn": id});
        refused(&scene, &relay, fields, &[], &[]).await;
    }
    assert_eq!(relay.users(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_logs_in_at_its_own_server_only() {
    let listed = "[rotation]\nadmin_secrets = [\"adm*\"]";
    let named = "[secret.app]\nadmin_secret = \"admin\"";
    let beside = "rotation = { strategy = \"alternating\", admin_secret = \"admin\" }";
    for more in ["", listed, named, beside] {
        let (scene, relay) = scene(more).await;
        let admin = arn(&scene, "admin");
        let real = scene.cluster.port;
        let places = [
            json!({"port": relay.port}),
            json!({"host": "localhost", "port": relay.port}),
            json!({"host": format!("127.0.0.1:{},127.0.0.1:{real}", relay.port)}),
            json!({"host": format!("127.0.0.1:1,127.0.0.1:{}", relay.port)}),
        ];
        for mut fields in places {
            let args = if more.is_empty() {
                &BOTH[..]
            } else {
                &BOTH[..2]
            };
            if more == listed {
                fields["masterarn"] = admin.clone().into();
            }
            let says = ["the admin secret", "to its own server only"];
            refused(&scene, &relay, fields, args, &says).await;
        }
        assert!(!relay.users().is_empty(), "the relay was logged in to");
        // At the server that is meant it goes on.
        if more == listed {
            let mut value = scene.current();
            value["masterarn"] = admin.into();
            scene.put(&value.to_string(), &[]);
        }
        let args = if more.is_empty() {
            &BOTH[..]
        } else {
            &BOTH[..2]
        };
        scene.rotate_ok(args).await;
        scene.assert_whole().await;
    }
}

/// The host is configured, the port is not: then the value's is no more worth.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_leads_elsewhere_as_well() {
    let (scene, relay) = scene("host = \"127.0.0.1\"").await;
    let fields = json!({"port": relay.port});
    refused(&scene, &relay, fields, &BOTH, &["to its own server only"]).await;
    // An administrator without a place of its own has Postgres' own port.
    let value = value_of(&scene, "admin");
    let bare = json!({"username": value["username"], "password": value["password"]});
    scene.proxy.secret_put("admin", &bare.to_string()).await;
    let fields = json!({"port": relay.port});
    refused(&scene, &relay, fields, &BOTH, &["127.0.0.1:5432"]).await;
}

/// An administrator's secret that does not say where it belongs.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_without_a_place_is_led_by_the_configuration_alone() {
    let (scene, relay) = scene("").await;
    let value = value_of(&scene, "admin");
    let bare = json!({"username": value["username"], "password": value["password"]});
    scene.proxy.secret_put("admin", &bare.to_string()).await;
    let says = ["nothing but the value of \"app\"", "set host and port"];
    let fields = json!({"port": relay.port});
    refused(&scene, &relay, fields, &BOTH, &says).await;
    refused(&scene, &relay, json!({}), &BOTH, &says).await;

    // The configuration says where the database is, and a value which secret:
    // that it is the administrator of that server nobody has said.
    let config = scene.proxy.config();
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let place = format!(
        "secret = \"app\"\nhost = \"127.0.0.1\"\nport = {}\n",
        scene.cluster.port
    );
    let text = text.replace("secret = \"app\"\n", &place);
    let with = |more: &str| std::fs::write(&config, format!("{text}\n{more}")).expect("written");
    with("[rotation]\nadmin_secrets = [\"admin\"]\n");
    let fields = json!({"masterarn": "admin"});
    let says = ["[secret.\"app\"] admin_secret"];
    refused(&scene, &relay, fields.clone(), &[], &says).await;
    with("[secret.app]\nadmin_secret = \"admin\"\n");
    scene.rotate_ok(&BOTH[..2]).await;
    scene.assert_whole().await;
}

/// A pending version names the other user that would take turns; a role of that
/// name is there, and is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_name_of_an_alternate_is_not_taken_over() {
    let (scene, _) = scene("").await;
    let password = new_password();
    let sql = "GRANT app_user_clone TO rotator WITH ADMIN OPTION";
    scene.cluster.create_role("app_user_clone", &password).await;
    scene.cluster.execute(sql).await;
    // Every role may set the name of an owner for itself; that makes it no member.
    for sql in [
        "CREATE ROLE owner_of_neither NOLOGIN",
        "ALTER ROLE app_user SET role = 'owner_of_neither'",
        "ALTER ROLE app_user_clone SET role = 'owner_of_neither'",
    ] {
        scene.cluster.execute(sql).await;
    }
    let victim = json!({"username": "app_user_clone", "password": password});
    let mut value = scene.current();
    value["username"] = "app_user_clone".into();
    value["password"] = new_password().into();
    scene.put(&value.to_string(), &["--stage", "AWSPENDING"]);
    for args in [
        &BOTH[2..],
        &["--admin-secret", "admin", "--strategy", "single"],
    ] {
        let said = scene.rotate_fails(args).await;
        assert!(said.contains("takes turns"), "{said}");
        assert!(scene.logs_in(&victim).await, "its password is its own");
        scene.put(&value.to_string(), &["--stage", "AWSPENDING"]);
    }
    // Whoever configures it says that they do.
    scene.rotate_ok(&BOTH).await;
    scene.assert_whole().await;
}

/// The running proxy, asked by RotateSecret: nobody logs in with the other
/// secret, and who may not read it is told so at once.
#[tokio::test(flavor = "multi_thread")]
async fn rotate_secret_uses_no_secret_that_its_caller_may_not_read() {
    let more = "[rotation]\nadmin_secrets = [\"admin\"]";
    let (mut scene, relay) = scene(more).await;
    let access = super::api::serve_as(
        &scene.proxy,
        "writer",
        &json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["secretsmanager:PutSecretValue", "secretsmanager:RotateSecret"],
            "Resource": "arn:aws:secretsmanager:*:*:secret:app-??????",
        }]}),
    );
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let writer = super::api::client_of(&access);
    let mut value = scene.current();
    value["port"] = relay.port.into();
    let admin = arn(&scene, "admin");
    for id in [admin.as_str(), "admin", "no-such-secret"] {
        value["masterarn"] = id.into();
        let put = writer.put_secret_value().secret_id("app");
        let put = put.secret_string(value.to_string()).send().await;
        // A schedule would follow it later, when nobody asks who has written it.
        let error = format!("{:?}", put.expect_err("it may not use it"));
        assert!(error.contains("secretsmanager:GetSecretValue"), "{error}");
        scene.put(&value.to_string(), &[]);
        let asked = writer.rotate_secret().secret_id("app").send().await;
        let error = format!("{:?}", asked.expect_err("not allowed"));
        assert!(error.contains("AccessDeniedException"), "{error}");
        assert!(error.contains("secretsmanager:GetSecretValue"), "{error}");
    }
    // Nor does a key that stands twice hide it.
    let text = value.to_string();
    let twice = format!(
        "{{\"masterarn\":[],{}",
        text.strip_prefix('{').expect("JSON")
    );
    let put = writer.put_secret_value().secret_id("app");
    let put = put.secret_string(&twice).send().await;
    assert!(put.is_err(), "it may not use it");
    scene.put(&twice, &[]);
    assert!(
        writer
            .rotate_secret()
            .secret_id("app")
            .send()
            .await
            .is_err()
    );
    assert_eq!(scene.labelled("AWSPENDING"), None);

    // What a schedule asks for leads no other password there either.
    value["masterarn"] = admin.into();
    scene.put(&value.to_string(), &[]);
    let own = super::api::client(&scene.proxy);
    let asked = own.rotate_secret().secret_id("app").send().await;
    asked.expect("who may read it may ask");
    eventually(
        "an attempt that failed",
        Duration::from_secs(30),
        || async {
            let steps = scene.proxy.audit_of("rotation.step");
            let failed = |r: &Value| r.to_string().contains("to its own server only");
            steps.iter().any(failed).then_some(())
        },
    )
    .await;
    assert!(relay.users().iter().all(|user| user == "app_user"));
}
