//! Several stores in one configuration: each secret is looked up, rotated and told of in the
//! store that its name begins with.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use crate::common::{Cluster, Proxy, cli, connect, eventually, free_port, new_password};

const SOON: Duration = Duration::from_secs(30);

/// A default store, a second embedded one that is served at this port, and files.
fn stores(port: u16) -> String {
    format!(
        "path = \"store.db\"\nkey_file = \"store.key\"\n\
         [store.second]\npath = \"second.db\"\nkey_file = \"store.key\"\naddress = \"127.0.0.1:{port}\"\n\
         [store.mounted]\nkind = \"files\"\npath = \"mounted\"\nkey_file = \"ids.key\"\n"
    )
}

/// One role and one database for each store; every secret is called `app`.
async fn proxy(cluster: &Cluster, port: u16) -> Proxy {
    let mut values = Vec::new();
    for role in ["one", "two", "three"] {
        let password = new_password();
        cluster.create_role(role, &password).await;
        values.push(cluster.secret(role, &password));
    }
    let mut proxy = Proxy::builder()
        .store(&stores(port))
        .database("one", "secret = \"app\"")
        .database("two", "secret = \"second:app\"")
        .database("three", "secret = \"mounted:app\"")
        .secret("app", &values[0])
        .secret("second:app", &values[1])
        .prepare();
    let mounted = proxy.directory().join("mounted");
    fs::create_dir(&mounted).expect("made");
    fs::write(mounted.join("app.json"), &values[2]).expect("written");
    proxy.watch_for(&values[2]);
    proxy.run();
    proxy.wait_ready().await;
    proxy
}

/// What a command prints, and whether it worked.
fn run(proxy: &Proxy, args: &[&str]) -> (bool, String) {
    let done = cli::pgvalet(&proxy.config(), args, "{}");
    let text = [done.stdout, done.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (done.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_secret_is_of_its_store() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, free_port()).await;
    for (database, user) in [("one", "one"), ("two", "two"), ("three", "three")] {
        let session = proxy.connect(database).await;
        assert_eq!(session.value("SELECT current_user").await, user);
    }

    // A version that one store gets is adopted there, and nowhere else.
    let password = new_password();
    cluster.alter_password("two", &password).await;
    let value = cluster.secret("two", &password);
    proxy.watch_for(&value);
    let put = ["secret", "put", "app", "--store", "second"];
    let version = cli::pgvalet_ok(&proxy.config(), &put, &value);
    let version = version.lines().last().expect("a version").to_owned();
    proxy.wait_in_force("second:app", &version).await;
    let described = cli::pgvalet_ok(&proxy.config(), &["secret", "describe", "app"], "");
    assert!(!described.contains(&version), "{described}");

    // So is one that pgvalet makes.
    let said = cli::pgvalet_ok(&proxy.config(), &["rotate", "second:app"], "");
    let version = said.lines().last().expect("a version").to_owned();
    proxy.wait_in_force("second:app", &version).await;
    proxy.connect("two").await.value("SELECT 1").await;

    for (args, parts) in [
        (
            &["rotate", "mounted:app"][..],
            &["can neither change nor rotate them"][..],
        ),
        (
            &["secret", "put", "app", "--store", "mounted"],
            &["can neither change nor rotate them"],
        ),
        (
            &["secret", "put", "app", "--store", "secnd"],
            &["there is no [store.secnd]; did you mean \"second\"?"],
        ),
        (
            &["secret", "describe", "nope:x"],
            &[
                "there is no [store.nope]; the stores are [store], [store.mounted] and [store.second]",
            ],
        ),
        (
            &["secret", "create", "secnd:x"],
            &["there is no [store.secnd]; did you mean \"second\"?"],
        ),
        (
            &["secret", "get", "mounted:app", "--store", "second"],
            &["--store says second", "is of mounted"],
        ),
        (
            &["secret", "get", "other", "--store", "second"],
            &["second:other", "second.db"],
        ),
        (
            &["store", "backup", "copy.db", "--store", "mounted"],
            &["[store.mounted] kind is \"files\""],
        ),
    ] {
        let (ok, said) = run(&proxy, args);
        assert!(!ok, "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?}: {said}");
        }
    }
    let (ok, said) = run(&proxy, &["secret", "list"]);
    assert!(ok, "{said}");
    for name in ["second:app", "mounted:app"] {
        assert!(said.contains(name), "{said}");
    }
    let (ok, said) = run(&proxy, &["check"]);
    assert!(ok, "{said}");
    for part in [
        "second: embedded",
        "mounted: files below",
        "pgvalet can only read there",
        "secret \"second:app\", version",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Everything that tells of a secret says which store it is of.
    let status = proxy.status().await.to_string();
    assert!(status.contains("\"second:app\"") && status.contains("\"mounted:app\""));
    let adopted = proxy
        .metric("pgvalet_secret_age_seconds", &["secret=\"second:app\""])
        .await;
    assert!(adopted.is_some(), "{}", proxy.metrics().await);
    let adoptions = proxy.audit_of("secret.adopt");
    let of = |secret: &str| {
        let all = adoptions.iter();
        all.filter(|r| r["credential"]["secret"] == secret).count()
    };
    assert_eq!((of("app"), of("mounted:app")), (1, 1));
    assert!(of("second:app") >= 3, "{adoptions:?}");
    let calls = proxy.audit_of("store.call");
    assert!(calls.iter().any(|call| call["store"] == "second"));
    assert!(calls.iter().any(|call| call["store"].is_null()));
    let query = ["audit", "query", "--event", "store.call", "--secret"];
    let (_, said) = run(&proxy, &[&query[..], &["second:app"]].concat());
    assert!(said.contains("second:app"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_a_store_and_removes_it() {
    let cluster = Cluster::start().await;
    let (port, third) = (free_port(), free_port());
    let proxy = proxy(&cluster, port).await;
    let is_open = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(is_open(port) && !is_open(third));
    let password = new_password();
    cluster.create_role("four", &password).await;
    let before = fs::read_to_string(proxy.config()).expect("the configuration");

    let store = format!(
        "[store.third]\npath = \"third.db\"\nkey_file = \"third.key\"\naddress = \"127.0.0.1:{third}\"\n"
    );
    let added = before
        .replace("[audit]", &format!("{store}\n[audit]"))
        .replace("secret = \"app\"", "secret = \"third:app\"");
    proxy.reload(|_| added.clone()).await;
    assert!(is_open(third), "{}", proxy.log());
    assert!(!proxy.log().contains("needs a restart"), "{}", proxy.log());
    proxy.secret_create("third:app", &cluster.secret("four", &password));
    eventually("the new store is used", SOON, || async {
        let session = connect(&proxy.dsn("one")).await.ok()?;
        (session.value("SELECT current_user").await == "four").then_some(())
    })
    .await;

    // What a store that there is says of itself waits for a restart.
    proxy
        .reload(|text| text.replace("third.db", "fourth.db"))
        .await;
    let log = proxy.log();
    assert!(log.contains("[store.third] path"), "{log}");

    proxy.reload(|_| before.clone()).await;
    eventually("its address is closed", SOON, || async {
        (!is_open(third)).then_some(())
    })
    .await;
    assert!(is_open(port));
    let session = proxy.connect("one").await;
    assert_eq!(session.value("SELECT current_user").await, "one");

    // A store that cannot be opened changes nothing.
    let broken = before.replace(
        "[audit]",
        "[store.fifth]\npath = \"/proc/none/store.db\"\nkey_file = \"store.key\"\n\n[audit]",
    );
    fs::write(proxy.config(), broken).expect("written");
    proxy.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("the reload fails", SOON, || async {
        let log = proxy.log();
        (log.contains("nothing has changed") && log.contains("[store.fifth]")).then_some(())
    })
    .await;
    proxy.connect("two").await.value("SELECT 1").await;
}

/// A store that is served keeps its address until a reload is over, so that it cannot get another
/// name in the same one; one that is not served can.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_gets_another_name_unless_it_would_take_its_address_along() {
    let cluster = Cluster::start().await;
    let port = free_port();
    let proxy = proxy(&cluster, port).await;
    let before = fs::read_to_string(proxy.config()).expect("the configuration");
    let renamed = before
        .replace("[store.second]", "[store.later]")
        .replace("second:app", "later:app");
    fs::write(proxy.config(), &renamed).expect("written");
    proxy.signal(nix::sys::signal::Signal::SIGHUP);
    let why = format!(
        "[store.later] address 127.0.0.1:{port} is still that of [store.second], which this reload removes"
    );
    eventually("the reload is refused", SOON, || async {
        proxy.log().contains(&why).then_some(())
    })
    .await;
    proxy.connect("two").await.value("SELECT 1").await;
    TcpStream::connect(("127.0.0.1", port)).expect("it is served as before");

    let address = format!("address = \"127.0.0.1:{port}\"\n");
    proxy.reload(|_| renamed.replace(&address, "")).await;
    let session = proxy.connect("two").await;
    assert_eq!(session.value("SELECT current_user").await, "two");
    let status = proxy.status().await.to_string();
    assert!(status.contains("\"later:app\""), "{status}");
}

/// What is wrong with a store that has a name is told of its own table.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_named_store_name_its_table() {
    let cluster = Cluster::start().await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let proxy = proxy(&cluster, free_port()).await;
    let before = fs::read_to_string(proxy.config()).expect("the configuration");
    let store = |more: &str| {
        let store = format!("[store.fourth]\npath = \"fourth.db\"\n{more}\n");
        before.replace("[audit]", &format!("{store}\n[audit]"))
    };
    fs::write(proxy.directory().join("other.key"), "no key").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(proxy.directory().join("other.key"), open).expect("a mode");
    for (more, why) in [
        (
            format!("key_file = \"store.key\"\naddress = \"127.0.0.1:{port}\""),
            format!("cannot listen on [store.fourth] address 127.0.0.1:{port}"),
        ),
        (
            "key_file = \"other.key\"".to_owned(),
            "[store.fourth]: the ".to_owned(),
        ),
    ] {
        fs::write(proxy.config(), store(&more)).expect("written");
        proxy.signal(nix::sys::signal::Signal::SIGHUP);
        eventually(&why, SOON, || async {
            proxy.log().contains(&why).then_some(())
        })
        .await;
        let log = proxy.log();
        assert!(!log.contains("[store] "), "{log}");
    }
    drop(listener);
}
