use super::sql::items;
use super::*;

fn profile(settings: &[(&str, &str)]) -> Profile {
    Profile::new(
        settings
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
    )
}

#[test]
fn equal_settings_are_one_object() {
    let profiles = Profiles::default();
    let settings = profile(&[("timezone", "UTC")]).settings;
    let one = profiles.intern(settings.clone());
    assert!(Arc::ptr_eq(&one, &profiles.intern(settings)));
    assert!(Arc::ptr_eq(
        &profiles.intern(Settings::new()),
        &Profile::initial()
    ));
}

#[test]
fn what_a_search_path_makes_temporary() {
    for path in [
        "pg_temp",
        " \"pg_temp\", public",
        "PG_TEMP,a",
        "pg_temp_3",
        "\"$user\", pg_temp",
    ] {
        assert!(profile(&[("search_path", path)]).temporary, "{path}");
    }
    for path in ["", "a", "\"\""] {
        assert!(!profile(&[("search_path", path)]).temporary, "{path}");
    }
    assert!(!profile(&[("application_name", "pg_temp")]).temporary);
}

#[test]
fn only_the_difference_is_sent() {
    let a = profile(&[("timezone", "UTC"), ("work_mem", "4MB")]);
    let b = profile(&[("timezone", "UTC"), ("my.tenant", "it's")]);
    assert_eq!(a.change_from(&a), None);
    assert_eq!(
        b.change_from(&a).as_deref(),
        Some(r#"RESET "work_mem";SET "my"."tenant" = 'it''s';"#)
    );
}

#[test]
fn what_was_reset_is_set_anew() {
    let own = profile(&[("search_path", "a, b"), ("timezone", "Europe/Rome")]);
    let one = |name: &str, local| Resets::One {
        name: name.into(),
        local,
    };
    assert_eq!(
        own.restore(&one("timezone", true)),
        [r#"SET LOCAL "timezone" = 'Europe/Rome'"#]
    );
    assert_eq!(own.restore(&one("work_mem", false)), [""; 0]);
    assert!(!own.is_touched_by(&one("work_mem", false)));
    assert_eq!(
        own.restore(&Resets::All),
        [
            r#"SET "search_path" = 'a', 'b'"#,
            r#"SET "timezone" = 'Europe/Rome'"#
        ]
    );
    let [missing] = &own.restore(&Resets::Some)[..] else {
        panic!("one statement, for all of them")
    };
    assert!(missing.contains("('search_path', 'a, b'), ('timezone', 'Europe/Rome')"));
    let none = Profile::initial();
    assert!(!none.is_touched_by(&Resets::All) && none.restore(&Resets::Some).is_empty());
}

#[test]
fn limits_are_set_last_and_short_ones_noticed() {
    let b = profile(&[("lock_timeout", "10s"), ("timezone", "UTC")]);
    assert_eq!(
        b.change_from(&profile(&[])).as_deref(),
        Some(r#"SET "timezone" = 'UTC';SET "lock_timeout" = '10s';"#)
    );
    assert!(!b.short_limits);
    for (name, value, short) in [
        ("statement_timeout", "1", true),
        ("statement_timeout", "4999ms", true),
        ("statement_timeout", "0", false),
        ("statement_timeout", "0.1 min", false),
        ("statement_timeout", "1.5s", true),
        ("statement_timeout", "5000000us", false),
        ("statement_timeout", "1 h", false),
        ("statement_timeout", "0x10", true),
        ("idle_session_timeout", "1h", true),
        ("idle_session_timeout", "0", false),
        ("work_mem", "1", false),
    ] {
        assert_eq!(
            profile(&[(name, value)]).short_limits,
            short,
            "{name} {value}"
        );
    }
}

#[test]
fn settings_of_parse_are_changed_there_and_back() {
    let a = profile(&[("timezone", "UTC"), ("work_mem", "1MB")]).parse_settings(0);
    let b = profile(&[("timezone", "Asia/Tokyo"), ("search_path", "a")]).parse_settings(0);
    let same = profile(&[("timezone", "UTC")]).parse_settings(0);
    assert_eq!(a.in_place_of(&same), None);
    let [there, back] = b.in_place_of(&a).unwrap();
    assert_eq!(there.len(), 2);
    assert_eq!(
        back,
        [r#"RESET "search_path""#, r#"SET "timezone" = 'UTC'"#]
    );
}

#[test]
fn a_list_of_names_stays_one() {
    let b = profile(&[("search_path", "a, \"B\"")]);
    assert_eq!(
        b.change_from(&profile(&[])).as_deref(),
        Some(r#"SET "search_path" = 'a', 'B';"#)
    );
    for (value, wanted) in [
        (r#""$user", public"#, &["$user", "public"][..]),
        (r#"A , "b""c,d""#, &["a", "b\"c,d"]),
        ("", &[]),
        ("a,", &[]),
        ("a b", &[]),
        (r#""a"#, &[]),
        (r#"a"b"#, &[]),
    ] {
        assert_eq!(items(value).unwrap_or_default(), wanted, "{value}");
    }
}

#[test]
fn what_is_sent_means_the_same_in_every_encoding() {
    let a = profile(&[("my.größe", "ä"), ("application_name", "é")]);
    let none = profile(&[]);
    for sql in [
        a.change_from(&none),
        none.change_from(&a),
        Some(a.restore(&Resets::All).concat()),
        Some(a.restore(&Resets::Some).concat()),
    ] {
        assert!(sql.as_ref().is_some_and(|sql| sql.is_ascii()), "{sql:?}");
    }
    assert_eq!(
        profile(&[("a", "é")]).change_from(&none).as_deref(),
        Some(
            "SELECT pg_catalog.set_config('a', \
             pg_catalog.convert_from(pg_catalog.decode('c3a9', 'hex'), 'UTF8'), false);"
        )
    );
}

#[test]
fn nothing_escapes_from_a_value_or_a_name() {
    let b = profile(&[("a\"b", "\\'; DROP TABLE x --")]);
    assert_eq!(
        b.change_from(&profile(&[])).as_deref(),
        Some(r#"SET "a""b" = E'\\''; DROP TABLE x --';"#)
    );
}
