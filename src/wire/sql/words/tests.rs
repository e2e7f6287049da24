use super::*;

fn of(text: &str) -> Option<Resets> {
    resets(text.as_bytes())
}

fn one(name: &str, local: bool) -> Option<Resets> {
    let name = name.into();
    Some(Resets::One { name, local })
}

#[test]
fn what_goes_back_to_where_it_began() {
    for (text, name) in [
        ("RESET work_mem", "work_mem"),
        ("reset TimeZone ;\0", "timezone"),
        ("reset \"DateStyle\"", "datestyle"),
        ("reset time zone", "timezone"),
        ("reset My.\"X\"", "my.x"),
        ("\u{b}SET work_mem TO DEFAULT", "work_mem"),
        ("set session work_mem=default;", "work_mem"),
        ("set session to default", "session"),
        ("set time zone local", "timezone"),
        ("set time zone default", "timezone"),
        ("set names", "client_encoding"),
        ("set names default", "client_encoding"),
    ] {
        assert_eq!(of(text), one(name, false), "{text}");
    }
    for (text, name) in [
        ("set local work_mem to default", "work_mem"),
        ("set local time zone local", "timezone"),
    ] {
        assert_eq!(of(text), one(name, true), "{text}");
    }
    assert_eq!(of("reset all;"), Some(Resets::All));
    assert_eq!(of("DISCARD ALL"), Some(Resets::All));
}

#[test]
fn what_leads_elsewhere() {
    for text in [
        "",
        "set work_mem = '4MB'",
        "set work_mem = 'default'",
        "set time zone 'UTC'",
        "set local work_mem to \"default\"",
        "set names 'UTF8'",
        "discard plans",
        "reset",
        "reset a b",
        "reset a.",
        "select 1; insert into t values (default)",
        "reset \"a",
        "set a to default default",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}

#[test]
fn of_several_statements_only_the_server_knows() {
    for text in [
        "begin; reset timezone",
        "reset timezone; set timezone = 'UTC'",
        "reset timezone; reset datestyle",
        "select 1; discard all;",
        "select 'a;b'; set a.b to default",
    ] {
        assert_eq!(of(text), Some(Resets::Some), "{text}");
    }
}

#[test]
fn what_is_deallocated() {
    let of = |text: &str| {
        let name = deallocates(text.as_bytes())?;
        Some(String::from_utf8_lossy(&name).into_owned())
    };
    for (text, name) in [
        ("deallocate mine", "mine"),
        ("DEALLOCATE PREPARE Mine ;; \0", "mine"),
        ("deallocate \"Mine\"", "Mine"),
        ("deallocate \"a\"\"b;c\"", "a\"b;c"),
        ("deallocate prepare", "prepare"),
        ("deallocate prepare prepare", "prepare"),
        ("deallocate \"all\"", "all"),
        ("\n deallocate  größe$1", "größe$1"),
    ] {
        assert_eq!(of(text).as_deref(), Some(name), "{text}");
    }
    for text in [
        "deallocate all",
        "deallocate prepare ALL",
        "deallocate",
        "deallocate a b",
        "deallocate a; select 1",
        "select 1; deallocate a",
        "deallocate 1a",
        "deallocate U&\"a\"",
        "deallocate \"\"",
        "deallocate \"a",
        "deallocated a",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}
