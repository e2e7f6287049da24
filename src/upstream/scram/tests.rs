use super::keys::{derive, hmac_sha256};
use super::*;
use crate::upstream::LoginCache;

fn first(nonce: &str) -> ClientFirst {
    ClientFirst {
        binding: ChannelBinding::None,
        nonce: nonce.to_owned(),
    }
}

const ANY: RangeInclusive<u32> = 1..=u32::MAX;

const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

/// RFC 7677, section 3, but for the user name, which Postgres leaves empty:
/// the vector's keys are checked through its signature.
#[tokio::test]
async fn the_vector_of_rfc_7677() {
    let keys = derive(
        "pencil",
        &BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
        4096,
    )
    .unwrap();
    let signed = format!(
        "n=user,r=rOprNGfwEbeRWgbNEkqO,{SERVER_FIRST},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    );
    assert_eq!(
        BASE64_STANDARD.encode(hmac_sha256(&keys.server[..], signed.as_bytes())),
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
}

#[tokio::test]
async fn a_cached_key_gives_the_same_answer() {
    let cache = LoginCache::default();
    let password = Password::new("pencil".into());
    let one = first("rOprNGfwEbeRWgbNEkqO")
        .answer(SERVER_FIRST.as_bytes(), &password, &ANY, &cache)
        .await
        .unwrap();
    // A wrong password would show here if the cache were not used.
    let other = Password::new("wrong".into());
    let two = first("rOprNGfwEbeRWgbNEkqO")
        .answer(SERVER_FIRST.as_bytes(), &other, &ANY, &cache)
        .await
        .unwrap();
    assert_eq!(one.message, two.message);
    assert_eq!(
        one.verify(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        Err(ScramError::Signature)
    );
}

#[tokio::test]
async fn hostile_parameters_are_refused_before_anything_is_computed() {
    let password = Password::new("p".into());
    let cases: [(&str, ScramError); 7] = [
        ("r=other,s=AAAA,i=4096", ScramError::Nonce),
        ("r=abc,s=AAAA,i=4096", ScramError::Nonce),
        ("r=abcd,s=AAAA,i=2147483648", ScramError::TooMany(1 << 31)),
        ("r=abcd,s=AAAA,i=100001", ScramError::TooMany(100_001)),
        ("r=abcd,s=AAAA,i=0", ScramError::Malformed),
        ("r=abcd,s=!,i=4096", ScramError::Salt),
        ("s=AAAA,r=abcd,i=4096", ScramError::Malformed),
    ];
    for (server_first, expected) in cases {
        let answer = first("abc")
            .answer(
                server_first.as_bytes(),
                &password,
                &(1..=100_000),
                &LoginCache::default(),
            )
            .await;
        assert_eq!(answer.err(), Some(expected), "{server_first}");
    }
    let long = format!("r=abcd,s={},i=4096", "A".repeat(2048));
    let answer = first("abc")
        .answer(long.as_bytes(), &password, &ANY, &LoginCache::default())
        .await;
    assert_eq!(answer.err(), Some(ScramError::Salt));
}
