//! `[database.NAME]`, and who rotates its secret.

use super::*;

#[test]
fn databases() {
    says(&with_database("tls = \"prefer\""), &["can strip it"]);
    says(
        &with_database("pool_mode = \"statements\""),
        &["write \"transaction\", \"session\" or \"statement\""],
    );
    says(
        &with_database("application_name = \"{user}\""),
        &["write {application_name} or {client}"],
    );
    says(
        &with_database("pool_size = 2\nmin_pool_size = 3"),
        &["min_pool_size 3 is above pool_size 2"],
    );
    says(
        &with_database("tls = \"require\"\ntls_ca = \"f\""),
        &["tls_ca is not looked at"],
    );
    says(&with_database("port = 65536"), &["write 1 to 65535"]);
    says(
        &with_database("connect_timeout = \"0s\""),
        &["connect_timeout: \"0s\" is out of range"],
    );
    says(
        &with_database("drain_hard_timeout = \"1h\""),
        &["which drain_deadline_action = \"wait\" forbids"],
    );
    says(
        &with_database("drain_deadline_action = \"terminate\"\ndrain_hard_timeout = \"1m\""),
        &["drain_hard_timeout is shorter than drain_timeout"],
    );
    says(
        &with_database("session_migration = \"safe\""),
        &["session_migration is for pool_mode = \"session\""],
    );
    says(
        &with_database("drain_timeout = \"400d\""),
        &["out of range"],
    );
    says(&with_database("host = \"\""), &["host: this is empty"]);
    says(
        &MINIMAL.replace("prod/orders", "prod orders"),
        &["3:10: secret: \"prod orders\" is no secret's name"],
    );
    let d = &valid(&with_database(
        "rotation_grace = \"0s\"\nport = 5_433\nallow_md5 = true",
    ))
    .databases["orders"];
    assert_eq!(
        (d.rotation_grace, d.upstream.port, d.upstream.allow_md5),
        (Duration::ZERO, Some(5433), true)
    );
}

#[test]
fn rotations() {
    let rotation = |keys: &str| with_database(&format!("rotation = {{ {keys} }}"));
    for (keys, part) in [
        ("every = \"monthly\"", "every:"),
        ("every = \"1 month\"", "write it like \"30 days\""),
        ("every = \"1001 days\"", "\"1s\" to \"1000 days\""),
        ("schedule = \"daily\"", "is no schedule expression"),
        ("schedule = \"rate(3 hours)\"", "\"rate(4 hours)\""),
        ("schedule = \"cron(0 3 * * ?)\"", "this one has 5"),
        ("schedule = \"cron(30 3 * * ? *)\"", "must be 0"),
        (
            "every = \"30 days\", schedule = \"rate(30 days)\"",
            "exclude each other",
        ),
        ("window = \"3h\"", "window belongs to a schedule"),
        ("every = \"30 days\", window = \"90m\"", "full hours"),
        ("every = \"30 days\", window = \"25h\"", "\"24h\""),
        ("every = \"5h\", window = \"6h\"", "reaches the next one"),
        (
            "schedule = \"cron(0 /8 * * ? *)\", window = \"9h\"",
            "reaches the next one",
        ),
        ("strategy = \"multi\"", "alternating"),
        ("admin_secret = \"prod admin\"", "is no secret's name"),
        ("evry = \"30 days\"", "every"),
    ] {
        says(&rotation(keys), &["t.toml:5:", part]);
    }
    let config = valid(&rotation(
        "schedule = \"rate(4 hours)\", window = \"4h\", strategy = \"alternating\", admin_secret = \"a\"",
    ));
    let rotation = config.rotation(&config.databases["orders"]);
    let rotation = rotation.expect("it is there");
    assert!(rotation.schedule.is_some() && rotation.admin_secret.is_some());
    // A pool is kept over a reload that leaves its database as it is.
    assert_eq!(config.databases, valid(&with_database("")).databases);
}

#[test]
fn administrators_are_listed() {
    let with = |text: &str| format!("{MINIMAL}\n{text}");
    let config = valid(&with(
        "[secret.\"prod/orders\"]\nadmin_secret = \"prod/admin\"\n[rotation]\nadmin_secrets = \"admins/*\"",
    ));
    let admins = &config.admin_secrets;
    let arn = "arn:aws:secretsmanager:local:000000000000:secret:x-AbCdEf";
    assert_eq!(
        admins.of(None, "prod/orders", arn),
        Some(&crate::secret::SecretId::new("prod/admin"))
    );
    assert!(admins.lists(None, "admins/a", arn) && !admins.lists(None, "prod/admin", arn));
    for (text, part) in [
        (
            "[secret.\"a b\"]\nadmin_secret = \"x\"",
            "is no secret's name",
        ),
        ("[secret.a]\nadmin_secret = \"x y\"", "is no secret's name"),
        ("[secret.a]\nadmin_secret = \"a\"", "own administrator"),
        (
            "[secret.a]\nadmin_secrets = \"x\"",
            "did you mean \"admin_secret\"",
        ),
        ("[rotation]\nadmin_secrets = [\"*\"]", "lists every secret"),
        ("[rotation]\nadmin_secrets = []", "the list is empty"),
        (
            "[rotation]\nadmin_secret = \"x\"",
            "did you mean \"admin_secrets\"",
        ),
    ] {
        says(&with(text), &[part]);
    }
}
