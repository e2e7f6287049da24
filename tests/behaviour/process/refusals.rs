//! Mistakes with which pgvalet does not start: it says why, and what to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::common::pki::Pki;
use crate::common::{Proxy, new_password};

const SOON: Duration = Duration::from_secs(10);

/// The proxy ends by itself with this code, and says all of this; once that is
/// mended, it runs.
async fn refuses(mut proxy: Proxy, code: i32, says: &[&str], mend: impl FnOnce(&Proxy)) {
    proxy.run();
    let status = proxy.wait_exit(SOON).await;
    let log = proxy.log();
    assert_eq!(status.code(), Some(code), "{log}");
    for part in says {
        assert!(log.contains(part), "{part:?} is missing in: {log}");
    }
    mend(&proxy);
    proxy.run();
    proxy.wait_for("/livez").await;
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_can_read_are_refused() {
    let pki = Pki::new();
    let own = pki.client("dns:localhost", Duration::from_secs(3600));
    let (certificate, key) = (own.certificate.display(), own.key.display());
    let listen = format!("certificate = \"{certificate}\"\nkey = \"{key}\"");
    mode(&own.key, 0o644);
    let password = new_password();
    let value =
        format!("{{\"username\":\"a\",\"password\":\"{password}\",\"host\":\"127.0.0.1\"}}");
    let proxy = Proxy::with_one_database(&value, "")
        .listen(&listen)
        .prepare();
    let remedy = format!("chmod 640 {key}");
    refuses(proxy, 1, &["mode 0644", &remedy], |_| mode(&own.key, 0o640)).await;

    let proxy = Proxy::with_one_database(&value, "").prepare();
    let key = proxy.directory().join("store.key");
    assert_eq!(fs::metadata(&key).expect("a key").mode() & 0o777, 0o600);
    mode(&key, 0o604);
    let remedy = format!("chmod 600 {}", key.display());
    refuses(proxy, 1, &["mode 0604", &remedy], |_| mode(&key, 0o600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_listener_for_everybody_has_to_be_meant() {
    let proxy = Proxy::builder()
        .database("app", "secret = \"app\"")
        .client("name = \"all\"\nnetwork = [\"0.0.0.0/0\"]\ndatabases = [\"app\"]")
        .prepare();
    let text = fs::read_to_string(proxy.config()).expect("the configuration");
    let here = format!("127.0.0.1:{}", proxy.port);
    let open = text.replace(&here, &format!("0.0.0.0:{}", proxy.port));
    assert_ne!(open, text);
    fs::write(proxy.config(), &open).expect("written");
    let says = ["allow_untrusted_networks = true", "ask for a certificate"];
    refuses(proxy, 2, &says, |proxy| {
        let meant = open.replace("[listen]\n", "[listen]\nallow_untrusted_networks = true\n");
        fs::write(proxy.config(), meant).expect("written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_it_cannot_become_is_said() {
    let start = |user: &str| {
        let mut proxy = Proxy::builder()
            .database("app", "secret = \"app\"")
            .client("name = \"a\"\nunix_user = 1\ndatabases = [\"app\"]")
            .listen(&format!("user = \"{user}\""))
            .prepare();
        proxy.run();
        proxy
    };
    let mut unknown = start("no-such-user");
    assert_eq!(unknown.wait_exit(SOON).await.code(), Some(1));
    let said = unknown.log();
    assert!(
        said.contains("[listen] user: this machine knows no no-such-user"),
        "{said}"
    );
    if !geteuid().is_root() {
        let mut other = start("root");
        assert_eq!(other.wait_exit(SOON).await.code(), Some(1));
        assert!(
            other.log().contains("only root can become root"),
            "{}",
            other.log()
        );
    }
}
