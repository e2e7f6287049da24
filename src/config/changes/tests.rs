use super::*;

const FILE: &str = "[listen]\naddress = \"127.0.0.1:6432\"\nhandshake_timeout = \"15s\"\n\
    [database.a]\nsecret = \"a\"\n[[client]]\nname = \"c\"\nnetwork = \"10.0.0.0/8\"\n";

fn differs(old: &str, new: &str) -> Vec<(String, Effect)> {
    let changes = Written::of(old).changes(&Written::of(new));
    changes.into_iter().map(|c| (c.key, c.effect)).collect()
}

#[test]
fn what_means_the_same_is_no_change() {
    let same = FILE
        .replace(
            "\"127.0.0.1:6432\"",
            "[\"127.0.0.1:6432\"]\nmax_clients = 10000",
        )
        .replace("\"15s\"", "\"15000 ms\"");
    assert_eq!(differs(FILE, &same), []);
}

#[test]
fn each_change_is_named_with_its_effect() {
    let new = FILE
        .replace("6432", "6433")
        .replace("15s", "16s")
        .replace("\"a\"\n", "\"b\"\nrotation = { every = \"30 days\" }\n")
        .replace("10.0.0.0", "11.0.0.0")
        + "[database.b]\nsecret = \"a\"\n";
    let expected = [
        ("[database.a] rotation.approve", Effect::AtOnce),
        ("[database.a] rotation.every", Effect::AtOnce),
        ("[database.a] rotation.plaintext", Effect::AtOnce),
        ("[database.a] secret", Effect::Drain),
        ("[database.b]", Effect::AtOnce),
        ("[[client]] c network", Effect::AtOnce),
        ("[listen] address", Effect::Restart),
        ("[listen] handshake_timeout", Effect::NewSessions),
    ];
    let mut found = differs(FILE, &new);
    found.sort();
    let mut expected = expected.map(|(key, effect)| (key.to_owned(), effect));
    expected.sort();
    assert_eq!(found, expected);
}

/// It is named at every reload until it is in force, and not when it is taken back.
#[test]
fn what_needs_a_restart_stays_as_it_was() {
    let moved = FILE.replace("6432", "6433").replace("15s", "16s");
    let (old, new) = (Written::of(FILE), Written::of(&moved));
    let running = old.reloaded(new.clone());
    let keys =
        |changes: Vec<Change>| -> Vec<String> { changes.into_iter().map(|c| c.key).collect() };
    assert_eq!(keys(running.changes(&new)), ["[listen] address"]);
    assert_eq!(keys(running.changes(&old)), ["[listen] handshake_timeout"]);
}
