//! What URLs say, and which are refused.

use super::*;

fn parse(text: &str) -> Result<ServerUrl, String> {
    ServerUrl::parse(text, |path| PathBuf::from("/etc/pgvalet").join(path))
}

#[test]
fn urls_say_where_and_how() {
    let url = parse("postgres://pgvalet@a.internal,b.internal:5433/secrets?sslrootcert=ca.pem&sslcert=c.pem&sslkey=%2Fk.pem&schema=mine").unwrap();
    assert_eq!(
        url.hosts,
        [("a.internal".into(), 5432), ("b.internal".into(), 5433)]
    );
    assert_eq!(
        (url.user.as_str(), url.dbname.as_str()),
        ("pgvalet", "secrets")
    );
    assert_eq!(url.tls, UpstreamTls::VerifyFull);
    let file = |name: &str| PathBuf::from(name);
    assert_eq!(url.root_certificate, Some(file("/etc/pgvalet/ca.pem")));
    assert_eq!(
        url.certificate,
        Some((file("/etc/pgvalet/c.pem"), file("/k.pem")))
    );
    assert_eq!(
        url.to_string(),
        "postgres://a.internal:5432,b.internal:5433/secrets?schema=mine"
    );
    let socket = parse("postgresql:///secrets?host=/run/postgresql&user=x").unwrap();
    assert_eq!(socket.hosts, [("/run/postgresql".into(), 5432)]);
    assert_eq!(
        (socket.schema.as_str(), socket.tls),
        ("pgvalet", UpstreamTls::Disable)
    );
    let v6 = parse("postgres://u@[::1]:6000/d").unwrap();
    assert_eq!(v6.hosts, [("::1".into(), 6000)]);
}

#[test]
fn what_is_unsafe_or_unclear_is_refused() {
    for (text, says) in [
        ("postgres://u:hunter2@h/d", "must not hold a password"),
        (
            "postgres://u@h/d?password=hunter2",
            "must not hold a password",
        ),
        ("postgres://u@h/", "names no database"),
        ("postgres://u@/d", "names no host"),
        ("postgres://u@h/d?host=i", "hosts twice"),
        ("postgres://u@h:0/d", "no port"),
        ("postgres://u@h/d?sslmode=prefer", "sslmode=prefer"),
        ("postgres://u@h/d?sslmode=disable", "in the clear"),
        ("postgres://u@h/d?sslcert=c", "belong together"),
        (
            "postgres:///d?host=/s&user=u&sslmode=require",
            "no TLS on sockets",
        ),
        ("postgres://u@h/d?shema=x", "did you mean schema?"),
        ("postgres://u@h/d?schema=pg_temp", "no schema"),
        ("postgres://u@h/d%00", "zero byte"),
    ] {
        let why = parse(text).expect_err(text);
        assert!(why.contains(says), "{text}: {why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

#[test]
fn a_database_is_recognised_by_every_name_of_this_machine() {
    let url = parse("postgres://u@localhost:5433/secrets").unwrap();
    assert!(url.is_database("127.0.0.1", 5433, "secrets"));
    assert!(url.is_database("/run/postgresql", 5433, "secrets"));
    assert!(!url.is_database("localhost", 5432, "secrets"));
    assert!(!url.is_database("localhost", 5433, "orders"));
    assert!(!url.is_database("db.internal", 5433, "secrets"));
    let url = parse("postgres://u@DB.internal/secrets").unwrap();
    assert!(url.is_database("db.INTERNAL", 5432, "secrets"));
}
