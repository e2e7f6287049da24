use super::*;
use proptest::prelude::*;

fn startup(version: u32, body: &[u8]) -> Result<StartupPacket, StartupError> {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(body);
    StartupPacket::read(&bytes)
}

#[test]
fn a_startup_message() {
    let Ok(StartupPacket::Startup(s)) =
        startup(0x30000, b"user\0alice\0application_name\0psql\0\0")
    else {
        panic!("not a start-up message")
    };
    assert_eq!((s.user.as_str(), s.database.as_str()), ("alice", "alice"));
    assert_eq!(s.parameter("Application_Name"), Some("psql"));
    assert!(!s.asks_for_more() && s.replication.is_none());
}

/// Two programs must not read one packet differently.
#[test]
fn what_is_there_twice_is_refused() {
    for (name, value) in [
        ("user", "a"),
        ("database", "d"),
        ("replication", "off"),
        ("options", ""),
        ("_pq_.x", "1"),
    ] {
        let body = format!("user\0a\0{name}\0{value}\0{name}\0{value}\0\0");
        let read = startup(0x30000, body.as_bytes());
        assert!(matches!(read, Err(StartupError::Twice(_))), "{name}");
    }
    // An empty value counts too.
    let read = startup(0x30000, b"user\0\0user\0a\0\0");
    assert_eq!(read, Err(StartupError::Twice("user")));
}

#[test]
fn words_of_the_protocol_count_as_they_are_written() {
    let body = b"user\0a\0User\0b\0Database\0c\0OPTIONS\0d\0Replication\0on\0\0";
    let Ok(StartupPacket::Startup(s)) = startup(0x30000, body) else {
        panic!("not a start-up message")
    };
    assert_eq!((s.user.as_str(), s.database.as_str()), ("a", "a"));
    assert!(s.replication.is_none() && s.options.is_none());
    assert_eq!(s.parameters.len(), 4);
}

#[test]
fn newer_protocols_are_noted() {
    let Ok(StartupPacket::Startup(s)) = startup(
        0x30002,
        b"user\0a\0database\0d\0_pq_.x\0on\0replication\0database\0\0",
    ) else {
        panic!("not a start-up message")
    };
    assert!(s.asks_for_more() && s.replication == Some(Replication::Logical));
    assert_eq!(s.protocol_options, ["_pq_.x"]);
    for (version, more) in [
        (0x30000, false),
        (0x30001, true),
        (0x30002, false),
        (0x30003, true),
    ] {
        let Ok(StartupPacket::Startup(s)) = startup(version, b"user\0a\0\0") else {
            panic!("not a start-up message")
        };
        assert_eq!(s.asks_for_more(), more, "{}", s.version);
    }
}

#[test]
fn what_is_malformed_is_refused() {
    assert_eq!(startup(0x30000, b"user\0a\0"), Err(StartupError::Layout));
    assert_eq!(startup(0x30000, b"user\0a\0\0x"), Err(StartupError::Layout));
    assert_eq!(
        startup(0x30000, b"database\0a\0\0"),
        Err(StartupError::NoUser)
    );
    let old = Version(0x20000);
    assert_eq!(startup(old.0, b""), Err(StartupError::Version(old)));
    assert_eq!(startup(SSL, b"x"), Err(StartupError::Length));
    assert_eq!(startup(CANCEL, &[0; 5]), Err(StartupError::Cancel));
    assert_eq!(startup(CANCEL, &[0; 300]), Err(StartupError::Cancel));
    for length in [0u32, 7, 10_001, u32::MAX] {
        assert_eq!(body_length(length.to_be_bytes()), Err(StartupError::Length));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = StartupPacket::read(&bytes);
    }
}
