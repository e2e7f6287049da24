//! Records leave the host by every kind of sink, in both formats, and no password does.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::cli::pgvalet_ok;
use crate::common::collector::Collector;
use crate::common::moto::Moto;
use crate::common::{Cluster, Proxy, new_password};

/// What a server has got so far.
type Got = Arc<Mutex<String>>;

/// A syslog server.
fn syslog(path: &std::path::Path) -> Got {
    let server = UnixDatagram::bind(path).expect("bound");
    let got = Got::default();
    let into = got.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = server.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            into.lock().expect("not poisoned").push_str(&(text + "\n"));
        }
    });
    got
}

/// A request to moto, which looks at who signs, and not at the signature.
fn ask(url: &str, request: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("connected");
    let head = format!(
        "\r\nHost: {address}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n"
    );
    let request = request.replacen("\r\n", &head, 1);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

/// The keys of the objects in the bucket.
fn objects(url: &str) -> Vec<String> {
    let list = ask(url, "GET /audit-logs?list-type=2 HTTP/1.1\r\n\r\n");
    let keys = list.split("<Key>").skip(1);
    keys.filter_map(|part| Some(part.split_once("</Key>")?.0.to_owned()))
        .collect()
}

/// Forms in which a password might stand somewhere.
fn forms(password: &str, verifier: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut forms = vec![
        password.to_owned(),
        BASE64_STANDARD.encode(password),
        hex(password.as_bytes()),
    ];
    // SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY
    let keys = verifier.rsplit_once('$').expect("a verifier").1;
    for key in keys.split(':') {
        forms.push(key.to_owned());
        forms.push(hex(&BASE64_STANDARD.decode(key).expect("base64")));
    }
    forms
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_sink_gets_the_records_and_no_password() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let admin = cluster.superuser().await;
    let verifier = admin
        .value("select rolpassword from pg_authid where rolname = 'app_user'")
        .await;
    let moto = Moto::start();
    let region = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
                  </CreateBucketConfiguration>";
    let made = ask(
        &moto.url,
        &format!(
            "PUT /audit-logs HTTP/1.1\r\nx-amz-bucket-object-lock-enabled: true\r\n\
             Content-Length: {}\r\n\r\n{region}",
            region.len()
        ),
    );
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let collector = Collector::start();
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    let logged = syslog(&place("dev-log"));
    fs::write(place("token"), "marked-token-of-the-collector").expect("written");
    let sinks = format!(
        "[[audit.sink]]\nkind = \"file\"\npath = \"{}\"\n\
         [[audit.sink]]\nname = \"ocsf\"\nkind = \"file\"\nformat = \"ocsf\"\npath = \"{}\"\n\
         [[audit.sink]]\nkind = \"command\"\ncommand = [\"tee\", \"-a\", \"{}\"]\n\
         [[audit.sink]]\nkind = \"stdout\"\nformat = \"ocsf\"\n\
         [[audit.sink]]\nkind = \"syslog\"\naddress = \"unix:{}\"\n\
         [[audit.sink]]\nkind = \"otlp\"\nurl = \"{}/v1/logs\"\ntoken_file = \"{}\"\n\
         [[audit.sink]]\nkind = \"s3\"\nbucket = \"audit-logs\"\nprefix = \"db1/\"\nregion = \"eu-central-1\"\n\
         endpoint_url = \"{}\"\nlock = \"compliance\"\nlock_time = \"30 days\"\ninterval = \"1s\"\n",
        place("copy").display(),
        place("ocsf").display(),
        place("command").display(),
        place("dev-log").display(),
        collector.url,
        place("token").display(),
        moto.url,
    );
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .audit(&sinks)
        .environment("PGVALET_LOG", "trace,hyper=trace,aws_smithy_runtime=trace")
        .environment("AWS_ACCESS_KEY_ID", "test")
        .environment("AWS_SECRET_ACCESS_KEY", "marked-secret-access-key")
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    session.close().await;
    let uses = "credential.use";
    let missing = || {
        let read = |name: &str| fs::read_to_string(place(name)).unwrap_or_default();
        let got = |got: &Got| got.lock().expect("not poisoned").clone();
        let texts = [
            ("file", read("copy")),
            ("ocsf", read("ocsf")),
            ("command", read("command")),
            ("stdout", proxy.log()),
            ("syslog", got(&logged)),
            ("otlp", collector.text()),
            ("s3", objects(&moto.url).join(" ").replace("db1/", uses)),
        ];
        let lacking = texts.iter().filter(|(_, text)| !text.contains(uses));
        lacking.map(|(name, _)| *name).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !missing().is_empty() {
        let log = proxy.log();
        let of_sinks: Vec<&str> = log.lines().filter(|l| l.contains("sink")).collect();
        assert!(Instant::now() < deadline, "{:?}: {of_sinks:#?}", missing());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;

    // The locked objects are the log.
    let mut stored = String::new();
    for key in objects(&moto.url) {
        assert!(key.starts_with("db1/pgvalet/"), "{key}");
        let answer = ask(
            &moto.url,
            &format!("GET /audit-logs/{key} HTTP/1.1\r\n\r\n"),
        );
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("x-amz-object-lock-mode: compliance"),
            "{head}"
        );
        assert!(
            head.contains("x-amz-object-lock-retain-until-date: 20"),
            "{head}"
        );
        stored += body;
    }
    let log = fs::read_to_string(proxy.directory().join("audit.jsonl")).expect("read");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    let copy = fs::read_to_string(place("copy")).expect("read");
    // The command that has stored the secret ships its own log to the same places.
    let proxys = |text: &str| {
        let id = format!(":{}\"", proxy.pid());
        let mut lines = sorted(text);
        lines.retain(|line| line.contains(&id));
        lines
    };
    assert_eq!(proxys(&log), sorted(&log));
    assert_eq!(proxys(&copy), sorted(&log));
    assert_eq!(proxys(&stored), sorted(&log));
    let events = fs::read_to_string(place("ocsf")).expect("read");
    for event in events.lines() {
        let event: Value = serde_json::from_str(event).expect("JSON");
        assert_eq!(event["metadata"]["version"], "1.9.0");
    }
    fs::write(place("of-proxy"), proxys(&copy).join("\n") + "\n").expect("written");
    let said = pgvalet_ok(
        &proxy.config(),
        &[
            "audit",
            "verify",
            "--checkpoint",
            place("of-proxy").to_str().expect("UTF-8"),
        ],
        "",
    );
    assert!(said.contains("all of them are signed"), "{said}");

    // Nowhere is a password, in no form.
    let mut places = vec![
        ("copy", copy),
        ("ocsf", events),
        (
            "command",
            fs::read_to_string(place("command")).expect("read"),
        ),
        ("stderr and stdout", proxy.log()),
        ("log", log),
        ("s3", stored),
        ("syslog", logged.lock().expect("not poisoned").clone()),
    ];
    // The collector alone has its token, in the head of each request.
    let posted = collector.posted("/v1/logs");
    let token = "Bearer marked-token-of-the-collector";
    assert!(posted.iter().all(|p| p.head.contains(token)), "{posted:?}");
    places.push(("otlp", collector.text()));
    let mut marked = forms(&password, &verifier);
    marked.push("marked-token-of-the-collector".to_owned());
    marked.push("marked-secret-access-key".to_owned());
    for (place, text) in &places {
        assert!(text.contains(uses), "{place} is not what it should be");
        for (n, form) in marked.iter().enumerate() {
            // Not the text itself: it would leak a second time.
            assert!(
                !text.contains(form),
                "form {n} of a password stands in {place}"
            );
        }
    }
}
