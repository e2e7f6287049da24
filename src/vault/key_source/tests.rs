use std::os::unix::fs::PermissionsExt;

use super::*;

fn source(dir: &tempfile::TempDir) -> KeySource {
    KeySource::File(dir.path().join("k"))
}

#[test]
fn a_new_key_is_private_whole_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir);
    assert!(source.read().unwrap().is_none());
    let key = source.create().ok().unwrap();
    let mode = fs::metadata(source.file().unwrap()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(source.read().unwrap().unwrap().bytes() == key.bytes());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_first_of_two_creators_wins() {
    let dir = tempfile::tempdir().unwrap();
    let first = source(&dir).create().ok().unwrap();
    let second = source(&dir).create().ok().unwrap();
    assert!(first.bytes() == second.bytes());
}

#[test]
fn an_exposed_or_malformed_key_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir);
    let path = dir.path().join("k");
    source.create().ok().unwrap();
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let e = source.read().err().unwrap();
        assert!(e.to_string().contains("chmod 600"), "{e}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "short", &"A".repeat(64), &STANDARD.encode([1; 31])] {
        fs::write(&path, text).unwrap();
        assert!(matches!(source.read(), Err(OpenError::KeyMalformed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(KeySource::File(dir.path().to_owned()).read().is_err());
}

#[test]
fn the_next_key_takes_the_place_and_the_old_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(&dir);
    let old = source.create().ok().unwrap();
    let next = source.create_next().ok().unwrap();
    assert!(source.create_next().unwrap().bytes() == next.bytes());
    assert!(source.read().unwrap().unwrap().bytes() == old.bytes());
    let kept = source.keep(&old).unwrap().unwrap();
    source.promote_next().unwrap();
    // Again, as after an interruption or by another process.
    source.promote_next().unwrap();
    assert!(source.read().unwrap().unwrap().bytes() == next.bytes());
    assert!(source.read_next().unwrap().is_none());
    assert!(KeySource::File(kept).read().unwrap().unwrap().bytes() == old.bytes());
}

#[test]
fn sources_are_parsed() {
    let file = Path::new("data/store.key");
    let parse = |text| KeySource::parse(text, file);
    assert_eq!(parse("file:a:b"), Ok(KeySource::File("a:b".into())));
    assert_eq!(parse("env:KEY"), Ok(KeySource::Env("KEY".into())));
    assert_eq!(
        parse("kms:arn:aws:kms:eu-west-1:1:key/2"),
        Ok(KeySource::Kms {
            key_id: "arn:aws:kms:eu-west-1:1:key/2".into(),
            file: file.into()
        })
    );
    for text in [
        "",
        "store.key",
        "file:",
        "env:",
        "env:A=B",
        "kms: ",
        "http://x",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
