//! Certificates of servers, and of pgvalet itself, as they are made in the field: what
//! psql accepts with the same files, pgvalet accepts, and nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use pgvalet::net::UpstreamTls;
use pgvalet::net::tls::{Identity, TlsOptions, for_upstream};
use rcgen::ExtendedKeyUsagePurpose;
use tempfile::TempDir;

use crate::common::binaries::client_program;
use crate::common::cli::pgvalet;
use crate::common::client::told;
use crate::common::pki::{DAY, Pki};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};
use crate::login::{log_in, options};

/// Runs `openssl` in a directory.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// A way to make `server.crt` and `server.key`, and what has to come of it.
struct Made {
    how: &'static str,
    openssl: &'static [&'static str],
    /// What the server shows besides its own.
    chain: &'static [&'static str],
    ca: &'static str,
    mechanism: &'static str,
}

/// Nobody accepts it.
const NONE: &str = "none";

const SELF_SIGNED: &str =
    "req -new -x509 -days 365 -nodes -text -out server.crt -keyout server.key -subj /CN=localhost";
const ROOT: &str =
    "req -new -x509 -days 3650 -nodes -out root.crt -keyout root.key -subj /CN=root.example";
const REQUEST: &str = "req -new -nodes -out server.csr -keyout server.key -subj /CN=localhost";

const INTERMEDIATE: &str = "req -new -x509 -days 1825 -nodes -CA root.crt -CAkey root.key -addext basicConstraints=critical,CA:true -out intermediate.crt -keyout intermediate.key -subj /CN=intermediate.example";

const MADE: &[Made] = &[
    Made {
        how: "self-signed, as in the manual",
        openssl: &[SELF_SIGNED],
        chain: &[],
        ca: "server.crt",
        mechanism: "scram-sha-256-plus",
    },
    Made {
        how: "by a root, as in the manual: X.509 version 1 with older programs",
        openssl: &[
            ROOT,
            REQUEST,
            "x509 -req -in server.csr -text -days 365 -CA root.crt -CAkey root.key -CAcreateserial -out server.crt",
        ],
        chain: &[],
        ca: "root.crt",
        mechanism: "scram-sha-256-plus",
    },
    Made {
        how: "by an intermediate authority, as in the manual",
        openssl: &[
            ROOT,
            INTERMEDIATE,
            REQUEST,
            "x509 -req -in server.csr -text -days 365 -CA intermediate.crt -CAkey intermediate.key -CAcreateserial -out server.crt",
        ],
        chain: &["intermediate.crt"],
        ca: "root.crt",
        mechanism: "scram-sha-256-plus",
    },
    Made {
        how: "by an authority that the server does not show",
        openssl: &[
            ROOT,
            INTERMEDIATE,
            REQUEST,
            "x509 -req -in server.csr -text -days 365 -CA intermediate.crt -CAkey intermediate.key -CAcreateserial -out server.crt",
        ],
        chain: &[],
        ca: "root.crt",
        mechanism: NONE,
    },
    Made {
        how: "by somebody whose certificate is none of an authority",
        openssl: &[
            ROOT,
            "req -new -x509 -days 365 -nodes -CA root.crt -CAkey root.key -addext basicConstraints=critical,CA:false -out intermediate.crt -keyout intermediate.key -subj /CN=nobody",
            REQUEST,
            "x509 -req -in server.csr -text -days 365 -CA intermediate.crt -CAkey intermediate.key -CAcreateserial -out server.crt",
        ],
        chain: &["intermediate.crt"],
        ca: "root.crt",
        mechanism: NONE,
    },
    Made {
        how: "RSASSA-PSS",
        openssl: &[
            "req -new -x509 -newkey rsa:2048 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sha384 -days 30 -nodes -out server.crt -keyout server.key -subj /CN=localhost",
        ],
        chain: &[],
        ca: "server.crt",
        mechanism: "scram-sha-256-plus",
    },
    Made {
        how: "RSASSA-PSS by a root",
        openssl: &[
            ROOT,
            "req -x509 -new -nodes -newkey rsa:2048 -CA root.crt -CAkey root.key -sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64 -days 30 -out server.crt -keyout server.key -subj /CN=localhost -addext basicConstraints=critical,CA:false",
        ],
        chain: &[],
        ca: "root.crt",
        mechanism: "scram-sha-256-plus",
    },
    Made {
        // There is no hash for such a certificate: psql has to be told to do without.
        how: "Ed25519",
        openssl: &[
            "req -new -x509 -newkey ed25519 -days 30 -nodes -out server.crt -keyout server.key -subj /CN=localhost",
        ],
        chain: &[],
        ca: "server.crt",
        mechanism: "scram-sha-256",
    },
];

/// Whether psql logs in with the same files.
fn psql(cluster: &Cluster, password: &str, host: &str, more: &str) -> bool {
    let dsn = format!(
        "host={host} hostaddr=127.0.0.1 port={} user=app dbname=postgres {more}",
        cluster.port
    );
    let mut command = client_program("psql");
    command.args(["-X", "-w", "-c", "select 1", &dsn]);
    command.env("PGPASSWORD", password).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("psql starts").success()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_accepted_as_by_psql() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    for made in MADE {
        let directory = TempDir::new().expect("a directory");
        for arguments in made.openssl {
            openssl(directory.path(), arguments);
        }
        let file = |name: &str| directory.path().join(name);
        for name in made.chain {
            let more = fs::read(file(name)).expect("a certificate");
            let mut shown = fs::File::options().append(true).open(file("server.crt"));
            let shown = shown.as_mut().expect("the server's");
            shown.write_all(&more).expect("written");
        }
        cluster.show(&file("server.crt"), &file("server.key")).await;
        let foreign = TempDir::new().expect("a directory");
        openssl(foreign.path(), SELF_SIGNED);
        let (own, foreign) = (file(made.ca), foreign.path().join("server.crt"));
        let binding = match made.mechanism {
            "scram-sha-256" => "channel_binding=disable",
            _ => "channel_binding=require",
        };
        for (host, mode, ca) in [
            ("localhost", "verify-full", &own),
            ("127.0.0.1", "verify-full", &own),
            ("127.0.0.1", "verify-ca", &own),
            ("localhost", "verify-full", &foreign),
            ("localhost", "verify-ca", &foreign),
        ] {
            let (ca, trusted) = (ca.display(), ca == &own);
            let case = format!("{}: {host}, {mode}, {ca}", made.how);
            let more = format!("sslmode={mode} sslrootcert={ca} {binding}");
            let expected = psql(&cluster, &password, host, &more);
            if host == "localhost" {
                assert_eq!(expected, trusted && made.mechanism != NONE, "{case}: psql");
            }
            let lines = format!("host = \"{host}\"\ntls = \"{mode}\"\ntls_ca = \"{ca}\"");
            match log_in(&cluster, &options(&lines), "app", &password).await {
                Ok(server) => {
                    assert!(expected, "{case}: psql refuses it");
                    assert_eq!(server.mechanism, made.mechanism, "{case}");
                    server.close().await;
                }
                Err(error) => assert!(!expected, "{case}: {error}"),
            }
        }
    }
}

/// A list that is renewed holds for the next login, and a client reads why there is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_revoked_is_not_accepted_any_more() {
    let mut cluster = Cluster::start().await;
    let (pki, password) = (Pki::new(), new_password());
    cluster.create_role("app", &password).await;
    let ends = SystemTime::now() + DAY;
    let shown = pki.certificate("dns:localhost", ends, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    cluster.show(&shown.certificate, &shown.key).await;
    let more = format!(
        "host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = {:?}\ntls_crl = [{:?}]\n\
         pool_wait_timeout = \"3s\"",
        pki.ca(),
        pki.crl()
    );
    let proxy = Proxy::with_one_database(&cluster.secret("app", &password), &more)
        .start()
        .await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");

    pki.revoke(&[&shown]);
    cluster
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        .await;
    let refused = match connect(&proxy.dsn("app")).await {
        Ok(session) => session.simple_query("select 1").await.map(|_| ()),
        Err(error) => Err(error),
    };
    let (sqlstate, message, ..) = told(&refused.expect_err("revoked"));
    assert_eq!(sqlstate, "08006", "{message}");
    assert!(
        message.contains("shows a certificate that is revoked"),
        "{message}"
    );
    // With the list as it was, the very same proxy logs in again.
    pki.revoke(&[]);
    let again = async || {
        let session = connect(&proxy.dsn("app")).await.ok()?;
        session.simple_query("select 1").await.ok()
    };
    eventually("a login", Duration::from_secs(20), again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_also_holds_for_a_certificate_that_is_itself_trusted() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let directory = TempDir::new().expect("a directory");
    openssl(directory.path(), SELF_SIGNED);
    let file = |name: &str| directory.path().join(name);
    cluster.show(&file("server.crt"), &file("server.key")).await;
    let other = Pki::new();
    let lines = format!(
        "host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = {:?}\ntls_crl = [{:?}]",
        file("server.crt"),
        other.crl()
    );
    let refused = log_in(&cluster, &options(&lines), "app", &password).await;
    let error = refused.err().expect("no list of its issuer").to_string();
    assert!(
        error.contains("RevocationStatus") || error.contains("revocation"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_of_tls_can_be_refused() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    cluster
        .restart_with(&[("ssl_max_protocol_version", "TLSv1.2")])
        .await;
    for (least, spoken) in [("TLSv1.2", Some("TLSv1.2")), ("TLSv1.3", None)] {
        let lines = format!("tls = \"require\"\ntls_min_version = \"{least}\"");
        let server = log_in(&cluster, &options(&lines), "app", &password).await;
        match server {
            Ok(server) => {
                assert_eq!(server.tls_version(), spoken);
                server.close().await;
            }
            Err(error) => assert_eq!(spoken, None, "{error}"),
        }
    }
}

/// The certificate of the role `by_cert`, whose key is encrypted.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_our_own_certificate_may_be_encrypted() {
    let cluster = Cluster::start().await;
    cluster.create_role("by_cert", &new_password()).await;
    cluster.permit_certificate("by_cert").await;
    let (certificate, key) = cluster.client_certificate();
    let directory = TempDir::new().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let private = |name: &str, content: &[u8]| {
        use std::os::unix::fs::PermissionsExt;
        fs::write(file(name), content).expect("written");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(file(name), mode).expect("a mode");
    };
    private("right", b"open sesame\n");
    private("wrong", b"open barley\n");
    let identity = |key: &str, password: Option<&str>| TlsOptions {
        identity: Some(Identity {
            certificate: certificate.clone(),
            key: file(key),
            password: password.map(file),
        }),
        ..TlsOptions::default()
    };
    let problem = |options: &TlsOptions| {
        let config = for_upstream(UpstreamTls::Require, options);
        config.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let from = key.display();
    for (name, how) in [
        ("default", ""),
        ("sha1", "-v2 aes-256-cbc -v2prf hmacWithSHA1"),
        (
            "sha512",
            "-v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 10000",
        ),
    ] {
        let arguments = format!("pkcs8 -topk8 -in {from} -out {name} -passout file:right {how}");
        openssl(directory.path(), &arguments);
        private(name, &fs::read(file(name)).expect("a key"));
        assert_eq!(problem(&identity(name, Some("right"))), "", "{name}");
        let wrong = problem(&identity(name, Some("wrong")));
        assert!(wrong.contains("cannot be decrypted"), "{name}: {wrong}");
        let missing = problem(&identity(name, None));
        assert!(missing.contains("tls_key_password_file"), "{missing}");
    }
    let old = format!("pkcs8 -topk8 -v1 PBE-SHA1-3DES -in {from} -out old -passout file:right");
    openssl(directory.path(), &old);
    private("old", &fs::read(file("old")).expect("a key"));
    let form = problem(&identity("old", Some("right")));
    assert!(form.contains("openssl pkcs8 -topk8"), "{form}");

    let path = |path: PathBuf| path.display().to_string();
    let lines = format!(
        "host = \"localhost\"\ntls = \"verify-full\"\ntls_ca = \"{}\"\n\
         tls_certificate = \"{}\"\ntls_key = \"{}\"\ntls_key_password_file = \"{}\"",
        path(cluster.ca()),
        certificate.display(),
        path(file("sha512")),
        path(file("right")),
    );
    let server = log_in(&cluster, &options(&lines), "by_cert", "").await;
    let server = server.map_err(|e| e.to_string()).expect("in");
    assert_eq!(server.mechanism, "certificate");
    server.close().await;
}

/// `pgvalet check` says of every certificate and revocation list whether it can be used today, and
/// for how long.
#[test]
fn check_says_which_certificates_have_expired_or_soon_will() {
    let pki = Pki::new();
    let directory = TempDir::new().expect("a directory");
    let at = directory.path();
    let now = SystemTime::now();
    // Their whole life is two days: a fifth of that is soon.
    let made = |name: &str, ends: SystemTime| {
        let made = pki.certificate("dns:localhost", ends, |_| {});
        fs::copy(&made.certificate, at.join(format!("{name}.crt"))).expect("copied");
        fs::copy(&made.key, at.join(format!("{name}.key"))).expect("copied");
    };
    made("good", now + DAY);
    made("soon", now + Duration::from_secs(3600));
    made("expired", now - DAY);
    made("later", now + 4 * DAY);
    fs::copy(pki.ca(), at.join("ca.crt")).expect("copied");
    fs::copy(pki.crl(), at.join("ca.crl")).expect("copied");
    let check = |listen: &str, database: &str, sink: &str| {
        let text = format!(
            "[listen]\ncertificate = \"{listen}.crt\"\nkey = \"{listen}.key\"\n\
             client_ca = \"ca.crt\"\nclient_crl = [\"ca.crl\"]\n\
             [store]\npath = \"store.db\"\nkey_file = \"store.key\"\n\
             [audit]\npath = \"audit.jsonl\"\n\
             [[audit.sink]]\nkind = \"syslog\"\naddress = \"tls://localhost:1\"\ntls_ca = \"{sink}.crt\"\n\
             [database.app]\nsecret = \"s\"\nhost = \"db.example.org\"\ntls_ca = \"ca.crt\"\n\
             tls_certificate = \"{database}.crt\"\ntls_key = \"{database}.key\"\n\
             [[client]]\nname = \"api\"\ncertificate = \"cn:api\"\ndatabases = \"app\"\n\
             [[client]]\nname = \"dba\"\ncertificate = \"cn:dba\"\nadmin = \"read\"\n"
        );
        let file = at.join("t.toml");
        fs::write(&file, text).expect("written");
        let output = pgvalet(&file, &["check", "--offline"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let lines = |said: &str, head: &str| -> Vec<String> {
        let lines = said.lines().filter(|line| line.starts_with(head));
        lines.map(str::to_owned).collect()
    };

    let (code, said) = check("good", "good", "ca");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !said.contains("expire") && !said.contains("not valid"),
        "{said}"
    );
    // The rules say what they let somebody do in the console.
    let head = said.lines().find(|line| line.contains("RECOGNISED BY"));
    assert!(head.is_some_and(|head| head.ends_with("ADMIN")), "{said}");
    let rule = |name: &str| {
        said.lines()
            .find(|line| line.contains(name))
            .map(str::trim_end)
    };
    assert!(
        rule("cn:api").is_some_and(|l| l.ends_with("  no")),
        "{said}"
    );
    assert!(
        rule("cn:dba").is_some_and(|l| l.ends_with("  read")),
        "{said}"
    );

    let (code, said) = check("soon", "soon", "soon");
    assert_eq!(code, Some(0), "{said}");
    let warnings = lines(&said, "warning: ");
    for key in [
        "[listen] certificate: ",
        "[database.app] tls_certificate: ",
        "[[audit.sink]] syslog tls_ca: ",
    ] {
        let said = warnings
            .iter()
            .any(|w| w.contains(key) && w.contains("expires in 59 m"));
        assert!(said, "{key}: {warnings:#?}");
    }

    for (name, words) in [
        ("expired", "has expired, at "),
        ("later", "is not valid yet"),
    ] {
        let (code, said) = check(name, name, name);
        assert_eq!(code, Some(1), "{said}");
        let problems = lines(&said, "problem: ");
        for (key, effect) in [
            (
                "[listen] certificate: ",
                "clients that check it are not served",
            ),
            (
                "[database.app] tls_certificate: ",
                "servers that check it let nobody in",
            ),
        ] {
            let is_one = |p: &String| p.contains(key) && p.contains(words) && p.ends_with(effect);
            assert!(problems.iter().any(is_one), "{key}: {problems:#?}");
        }
        let warnings = lines(&said, "warning: ");
        let is_one = |w: &String| w.contains("[[audit.sink]] syslog tls_ca") && w.contains(words);
        assert!(warnings.iter().any(is_one), "{warnings:#?}");
    }

    // A list that was not renewed keeps everybody out who has a certificate.
    openssl(
        at,
        "req -new -x509 -days 30 -nodes -out ca.crt -keyout ca.key -subj /CN=ca",
    );
    fs::write(at.join("index.txt"), "").expect("written");
    let settings = "[ca]\ndefault_ca = a\n[a]\ndatabase = index.txt\ndefault_md = sha256\n";
    fs::write(at.join("ca.cnf"), settings).expect("written");
    openssl(
        at,
        "ca -gencrl -config ca.cnf -cert ca.crt -keyfile ca.key -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out ca.crl",
    );
    let (code, said) = check("good", "good", "ca");
    assert_eq!(code, Some(1), "{said}");
    let problems = lines(&said, "problem: ");
    let is_one = |p: &String| p.contains("[listen] client_crl: ") && p.contains("2020-02-01");
    assert!(problems.iter().any(is_one), "{problems:#?}");
}
