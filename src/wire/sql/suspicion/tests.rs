use super::*;

fn of(text: &str) -> Suspicion {
    suspect(text.as_bytes()).map_or_else(Suspicion::default, |s| *s)
}

#[test]
fn everyday_statements_raise_none() {
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
        "UPDATE t SET a.b = 1 WHERE c = 2",
        "select temp, template, household from sensors",
        "begin; select 1; commit",
        "select pg_advisory_xact_lock(1)",
        "",
    ] {
        assert_eq!(suspect(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn state_that_no_tag_shows() {
    for text in [
        "CREATE TEMP TABLE t (a int)",
        "create temporary view v as select 1",
        "create or replace local temp view v as select 1",
        "select 1 into temp t",
        "create table pg_temp.t (a int)",
        "SELECT pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared(1)",
        "select pg_advisory_unlock_all()",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ] {
        assert!(of(text).ask, "{text}");
    }
}

#[test]
fn settings_of_custom_classes_by_their_names() {
    let names = |text| {
        of(text)
            .custom
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("SET app.tenant = 'x'"), ["app.tenant"]);
    assert_eq!(
        names("begin;\n set session App.User to 5; commit"),
        ["app.user"]
    );
    assert_eq!(names("set \"My\".\"x\" = 1"), ["my.x"]);
    assert_eq!(names("set my.\"x\" = 1"), ["my.x"]);
    assert_eq!(names("set \"my\" . x = 1"), ["my.x"]);
    assert_eq!(names("set app.größe = 1"), ["app.größe"]);
    // A name that is quoted as a whole is the same name.
    assert_eq!(names("set \"app.tenant\" = 'x'"), ["app.tenant"]);
    assert_eq!(names("reset session \"App.b.c\""), ["app.b.c"]);
    assert_eq!(names("set \"my.a\".b to 1"), ["my.a.b"]);
    assert_eq!(names("do $$ begin set \"app.x\" = 1; end $$"), ["app.x"]);
    for text in [
        "set \"TimeZone\" = 'UTC'",
        "set time zone 'UTC'",
        "set search_path to \"a.b\", c",
        "set role \"x.y\"",
        "reset all",
        "set local \"app.x\" = 1",
        "set session characteristics as transaction read only",
        "set session authorization \"a.b\"",
        "set datestyle = 'iso, mdy'; reset x;",
    ] {
        assert_eq!(names(text), [""; 0], "{text}");
        assert!(!of(text).hidden_setting, "{text}");
    }
    assert_eq!(
        names("select set_config('app.tenant', $1, false)"),
        ["app.tenant"]
    );
    assert_eq!(of("set work_mem = '4MB'"), Suspicion::default());
    let plain = of("select set_config('app.tenant', $1, false)");
    assert!(plain.ask && !plain.hidden_setting);
}

#[test]
fn what_is_white_or_a_comment_hides_nothing() {
    for text in [
        "/* orders-api */ set app.tenant = 'x'",
        "-- orders-api\nset app.tenant = 'x'",
        "set /* the */ app.tenant = 'x'",
        "\u{b}set app.tenant = 'x'",
        "select '--'; /* ; */ set app.tenant = 'x'",
        // One statement more or less, by standard_conforming_strings.
        r"select '\'; /*'; set app.tenant = 'x'; -- */",
    ] {
        let custom = of(text).custom;
        assert!(custom.len() == 1 && &*custom[0] == "app.tenant", "{text}");
    }
    assert!(of("create /* a */ temp table t ()").ask);
    assert_eq!(suspect(b"/* listen, temp */ select 1 -- with hold"), None);
}

#[test]
fn a_setting_beyond_what_is_looked_at_is_hidden() {
    for length in LOOK - 20..LOOK + 20 {
        let long = "x".repeat(length);
        for text in [
            format!("select '{long}'; set a.b = 1"),
            format!("select '{long}', set_config('a.b', 'c', false)"),
        ] {
            let s = of(&text);
            assert!(s.hidden_setting || s.custom.len() == 1, "{length}");
        }
        // Whatever else may stand there is asked for.
        let s = of(&format!("select '{long}'; select pg_advisory_lock(1)"));
        assert!(s.ask && !s.hidden_setting, "{length}");
    }
}

/// What is local is no reason to ask, but nothing that is parsed behind it is
/// known by the profile.
#[test]
fn what_touches_settings() {
    for text in [
        "select set_config('app.tenant', $1, true)",
        "SELECT set_config('role', $1::text, TRUE), set_config('a.b', 'c', true)",
        "do $$ begin perform 1; end $$",
        "call p()",
    ] {
        let s = of(text);
        assert!(s.touches && !s.ask, "{text}");
    }
    assert!(!of("select call, docs from t; select 1").touches);
}

#[test]
fn settings_by_other_ways() {
    for text in [
        "update pg_settings set setting = 'x' where name = 'timezone'",
        "with a as (UPDATE pg_catalog.pg_settings set setting = 'x' returning 1) table a",
        r#"select "set_config"('a.b', 'c', false)"#,
        r#"select pg_catalog."set_config"('a.b', 'c', false)"#,
        r#"select U&"set\005fconfig"('a.b', 'c', false)"#,
    ] {
        assert!(of(text).ask, "{text}");
    }
    assert!(of(r#"select U&"set\005fconfig"('a.b', 'c', false)"#).hidden_setting);
    assert!(of(r#"select "set_config"('a.b', 'c', false)"#).hidden_setting);
    assert!(!of("select * from pg_settings").ask);
    assert!(!of("select 1 from pg_proc where proname = 'set_config'").ask);
    let s = of("do $$ begin set app.tenant = 'x'; end $$");
    assert_eq!(s.custom, [Box::from("app.tenant")]);
    assert!(of("DO $$ begin execute 'se' || 't a.b = 1'; end $$").hidden_setting);
    assert!(of("do $$ begin perform set_config(n, v, false); end $$").hidden_setting);
    assert!(!of("do $$ begin perform 1; end $$").hidden_setting);
}

#[test]
fn listening() {
    assert!(of("LISTEN a").listen && of("begin; unlisten *").listen);
    assert!(!of("select * from listen_events, glisten").listen);
}

#[test]
fn a_name_that_is_not_understood_is_hidden() {
    let long = format!("set app.{} = 1", "x".repeat(80));
    for text in [
        b"set app.t\xe9n = 'v'",
        long.as_bytes(),
        b"set \"a\"\"b.c\" = 1",
        b"set \"a..b\" . = 1",
        b"select set_config('app.t\xe9n', 'v', false)",
    ] {
        let suspicion = suspect(text).unwrap_or_default();
        let shown = text.escape_ascii();
        assert!(suspicion.hidden_setting, "{shown}: {suspicion:?}");
    }
    let hidden = r"set local work_mem='1MB'; select '\', ' /*', E'a'
'\'/*'; set role boss; select '*/', '*/'";
    assert!(!of(hidden).local_set);
}

#[test]
fn a_setting_whose_name_is_hidden() {
    for text in [
        "select set_config($1, $2, false)",
        "select set_config('app.tenant', f(1, true), false)",
        "select set_config('app.tenant', 'x', $1)",
        "select set_config('a.b','c',true), set_config(x, y, z)",
    ] {
        let s = of(text);
        assert!(s.ask && s.hidden_setting, "{text}");
    }
}

#[test]
fn a_set_that_ends_with_its_transaction() {
    assert!(of("SET LOCAL work_mem = '4MB';").local_set);
    assert!(of("set transaction isolation level serializable").local_set);
    assert!(!of("set local a.b = 1; set c.d = 2").local_set);
    assert!(of("begin; set constraints all deferred; set local a.b = 1; commit").local_set);
    assert!(!of("begin; set constraints all deferred; set role boss; commit").local_set);
    assert!(!of(r"set local a.b = '\'; set c.d = 1; --'").local_set);
    assert!(!of("set timezone = 'utc'").local_set);
}

#[test]
fn what_resets_and_what_deallocates() {
    for text in [
        "/* pool */ RESET ALL",
        "-- pool\ndiscard/**/all",
        " reset all;",
    ] {
        assert_eq!(of(text).resets, Some(Resets::All), "{text}");
        assert_eq!(resets(text.as_bytes()), Some(Resets::All), "{text}");
    }
    for text in [
        "select pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
        // Two statements or one, by standard_conforming_strings.
        r"select '\'; reset all; --'",
    ] {
        assert_eq!(of(text).resets, Some(Resets::Some), "{text}");
        assert_eq!(resets(text.as_bytes()), Some(Resets::Some), "{text}");
    }
    for text in ["select 'reset all'", "set timezone = 'utc'", "select 1;"] {
        assert_eq!(resets(text.as_bytes()), None, "{text}");
        assert_eq!(of(text), Suspicion::default(), "{text}");
    }
    assert_eq!(
        of("/**/ deallocate a; -- b").deallocates.as_deref(),
        Some(&b"a"[..])
    );
    assert_eq!(of("deallocate a; select 1").deallocates, None);
}

#[test]
fn a_moment_in_a_constant() {
    for text in [
        "select 'now'::timestamptz",
        "select $$now$$::timestamptz",
        "select $x$ today $x$::date",
        "select 'no'\n'w'::timestamptz",
        "select 'to' -- or not\n  -- be\n 'day'::date",
        "insert into t values (timestamptz $$NOW$$)",
        "select e'\\x6eow'::timestamptz",
    ] {
        assert!(!super::is_timeless(text.as_bytes()), "{text}");
    }
    for text in [
        "select 'now()'::timestamptz",
        "select 'now('::timestamptz, now()",
        "select $$ now$$::date",
        "select 'a', 'today12:30'::timestamp",
        "select date /* a */ 'Yesterday'",
    ] {
        assert!(!super::is_timeless(text.as_bytes()), "{text}");
    }
    for text in [
        "select now()",
        "select $1::timestamptz",
        "select 'a',\n 'b'",
        "select 'a' as x\nfrom t where y = 'b'\n and z = $1",
        "select known from t where b = 'c'",
        "insert into t values ('a', now(), 'b'), ('what is known', today(), $$x$$)",
        "select \"now\", 'c' -- 'now'",
    ] {
        assert!(super::is_timeless(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_ends_only_with_its_connection() {
    for text in [
        "select pg_replication_origin_session_setup('o')",
        "SELECT pg_catalog.\"pg_create_logical_replication_slot\" ('s', 'p', true)",
        "select * from pg_copy_physical_replication_slot('a', 'b', true)",
        "select pg_backup_start('b')",
        "select pg_start_backup('b', true, false)",
    ] {
        let suspicion = of(text);
        assert!(suspicion.holds && suspicion.ask, "{text}");
        assert!(super::holds(text.as_bytes()), "{text}");
    }
    for text in [
        "select * from pg_replication_slots",
        "select pg_replication_origin_create('o')",
        "select 'start_backup'",
    ] {
        assert!(!super::holds(text.as_bytes()), "{text}");
    }
}
