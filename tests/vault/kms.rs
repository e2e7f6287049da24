//! The master key wrapped by AWS KMS, which is moto here.

use std::fs;
use std::process::{Command, Output};

use crate::cli::PGVALET;
use crate::moto::Moto;
use crate::place::Place;

struct Kms {
    moto: Moto,
    place: Place,
}

impl Kms {
    async fn new_key(&self) -> String {
        let client = aws_sdk_kms::Client::new(&self.moto.sdk_config());
        let made = client.create_key().send().await.unwrap();
        made.key_metadata.unwrap().key_id
    }

    fn run(&self, args: &[&str], stdin: &str) -> Output {
        let value = self.place.path("value");
        fs::write(&value, stdin).unwrap();
        Command::new(PGVALET)
            .arg("--config")
            .arg(self.place.config())
            .args(args)
            .env("AWS_ENDPOINT_URL", &self.moto.url)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_MAX_ATTEMPTS", "1")
            .stdin(fs::File::open(&value).unwrap())
            .output()
            .unwrap()
    }

    fn ok(&self, args: &[&str], stdin: &str) -> String {
        let output = self.run(args, stdin);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args, "");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `[store] key` and `key_file`.
    fn configure(&self, key: &str) {
        let text = fs::read_to_string(self.place.config()).unwrap();
        let kept: String = text
            .lines()
            .filter(|line| !line.starts_with("key"))
            .map(|line| format!("{line}\n"))
            .collect();
        let text = kept.replace("[store]\n", &format!("[store]\n{key}"));
        fs::write(self.place.config(), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn kms_wraps_the_key_of_a_store() {
    let kms = Kms {
        moto: Moto::start(),
        place: Place::new(),
    };
    let (one, two) = (kms.new_key().await, kms.new_key().await);
    let file = kms.place.key();
    kms.configure(&format!("key = \"kms:{one}\"\nkey_file = {file:?}\n"));
    kms.ok(&["secret", "create", "a", "--any"], "hunter2");
    assert_eq!(kms.ok(&["secret", "get", "a", "--reveal"], ""), "hunter2\n");
    let wrapped = fs::read_to_string(&file).unwrap();
    assert!(wrapped.starts_with("pgvalet-kms-1 "), "{wrapped}");

    // Another local key, wrapped by the same key of KMS.
    kms.ok(&["store", "rekey"], "");
    assert_ne!(fs::read_to_string(&file).unwrap(), wrapped);
    assert_eq!(kms.ok(&["secret", "get", "a", "--reveal"], ""), "hunter2\n");

    // A key of KMS that is not the one that wrapped it.
    kms.configure(&format!("key = \"kms:{two}\"\nkey_file = {file:?}\n"));
    let said = kms.refused(&["secret", "list"]);
    assert!(
        said.contains(&two) && said.contains("it answered"),
        "{said}"
    );
    // One that is not there.
    kms.configure(&format!("key = \"kms:alias/none\"\nkey_file = {file:?}\n"));
    let said = kms.refused(&["secret", "list"]);
    assert!(said.contains("NotFoundException"), "{said}");
    // The wrapped key is no key by itself, and an altered one is refused.
    kms.configure(&format!("key_file = {file:?}\n"));
    assert!(kms.refused(&["secret", "list"]).contains("holds no key"));
    kms.configure(&format!("key = \"kms:{one}\"\nkey_file = {file:?}\n"));
    let good = fs::read_to_string(&file).unwrap();
    let mut altered = good.clone().into_bytes();
    let at = altered.len() - 20;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    fs::write(&file, &altered).unwrap();
    assert!(kms.refused(&["secret", "list"]).contains("it answered"));
    fs::write(&file, &good).unwrap();

    // From a file to KMS and the other way.
    let plain = kms.place.path("plain.key");
    let out = kms.ok(
        &[
            "store",
            "rekey",
            "--to",
            &format!("file:{}", plain.display()),
        ],
        "",
    );
    assert!(out.contains("key_file = "), "{out}");
    kms.configure(&format!("key_file = {plain:?}\n"));
    assert_eq!(kms.ok(&["secret", "get", "a", "--reveal"], ""), "hunter2\n");
    let out = kms.ok(&["store", "rekey", "--to", &format!("kms:{two}")], "");
    let (_, lines) = out.split_once("where it runs:\n").unwrap();
    kms.configure(lines);
    assert_eq!(kms.ok(&["secret", "get", "a", "--reveal"], ""), "hunter2\n");

    // Nobody there.
    let url = kms.moto.url.clone();
    drop(kms.moto);
    let gone = Command::new(PGVALET)
        .arg("--config")
        .arg(kms.place.config())
        .args(["secret", "list"])
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_MAX_ATTEMPTS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(
        said.contains("cannot be reached") || said.contains("in time"),
        "{said}"
    );
}
