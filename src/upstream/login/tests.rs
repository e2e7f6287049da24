use super::*;
use crate::upstream::connect;
use crate::upstream::tests::{credential, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::net::TcpListener;

/// A login at a server that says this, whatever it is asked.
async fn login_at(said: Vec<u8>) -> Result<Server, ConnectError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target(listener.local_addr().unwrap().port());
    target.allow_cleartext = true;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(&said).await;
            let _ = socket.shutdown().await;
            let mut rest = [0; 256];
            while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        }
    });
    let (credential, cache) = (credential(), LoginCache::default());
    connect(
        &Arc::new(target),
        &credential,
        &cache,
        Duration::from_secs(5),
    )
    .await
}

fn negotiation(version: Version, options: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    login::negotiate_protocol_version(&mut out, version, options);
    out
}

fn welcome(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message::authentication_ok(&mut out);
    login::backend_key_data(&mut out, 7, key);
    message::ready_for_query(&mut out, b'I');
    out
}

#[tokio::test]
async fn a_key_is_kept_as_it_is() {
    for key in [&[1; 4][..], &[2; 32], &[3; 256]] {
        let server = login_at(welcome(key)).await.expect("in");
        assert_eq!(server.backend.pid, BackendPid(7));
        assert_eq!(&*server.backend.key, key);
    }
    let old = [negotiation(Version::V3_0, &[]), welcome(&[1; 4])].concat();
    let server = login_at(old).await.expect("in");
    assert_eq!(server.backend.key.len(), 4);
    let mut none = Vec::new();
    message::authentication_ok(&mut none);
    message::ready_for_query(&mut none, b'I');
    let server = login_at(none).await.expect("in");
    assert!(server.backend.key.is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let option = ["_pq_.x".to_owned()];
    let late = {
        let mut out = Vec::new();
        message::authentication_ok(&mut out);
        [out, negotiation(Version::V3_0, &[])].concat()
    };
    for (what, said) in [
        ("short", welcome(&[1; 3])),
        ("long", welcome(&[1; 257])),
        (
            "too long for 3.0",
            [negotiation(Version::V3_0, &[]), welcome(&[1; 32])].concat(),
        ),
        ("newer", negotiation(Version(0x0003_0003), &[])),
        ("much newer", negotiation(Version(0x0004_0000), &[])),
        ("much older", negotiation(Version(0x0002_0000), &[])),
        ("an option", negotiation(Version::V3_0, &option)),
        ("late", late),
        ("cut", b"v\0\0\0\x08\0\x03\0\0".to_vec()),
    ] {
        match login_at(said).await {
            Err(ConnectError::Protocol { .. }) => {}
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: trusted"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_server_says_ends_the_login(
        messages in vec((select(b"RKvSZNE".to_vec()), vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut said = Vec::new();
        for (tag, body) in messages {
            message::message(&mut said, tag, |out| out.extend(body));
        }
        // Nothing more comes, so that nobody waits for it.
        message::error_response(&mut said, "FATAL", "53300", "no", None);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let end = runtime.block_on(login_at(said));
        let late = matches!(end, Err(ConnectError::Timeout { .. }));
        prop_assert!(!late);
    }
}
