//! Tokens as they should be, and as attackers make them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::access::{TokenKeys, TokenMethod, TokenRule};
use crate::base::Pattern;

const ISSUER: &str = "https://issuer.example";

/// A signing key, and how its public half is published.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let pair = rcgen::KeyPair::generate_for(kind).expect("a key");
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(&rsa_private(&pair.serialize_der())),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&pair.serialize_der()),
            _ => EncodingKey::from_ec_der(&pair.serialize_der()),
        };
        let mut jwk = match algorithm {
            Algorithm::EdDSA => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(pair.public_key_raw())})
            }
            _ => {
                let jwk = Jwk::from_encoding_key(&key, algorithm).expect("a public key");
                serde_json::to_value(jwk).expect("JSON")
            }
        };
        jwk["kid"] = json!(id);
        Self {
            id,
            algorithm,
            key,
            jwk,
        }
    }

    fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.id.to_owned()),
            ..Header::new(self.algorithm)
        };
        encode(&header, claims, &self.key).expect("a token")
    }
}

/// jsonwebtoken wants PKCS#1, which PKCS#8 wraps in its last OCTET STRING.
fn rsa_private(pkcs8: &[u8]) -> Vec<u8> {
    use x509_parser::asn1_rs::{FromDer, OctetString, Sequence};
    let (_, outer) = Sequence::from_der(pkcs8).expect("PKCS#8");
    let content: &[u8] = &outer.content;
    // INTEGER version, SEQUENCE algorithm, OCTET STRING key.
    let (rest, _) = x509_parser::asn1_rs::Any::from_der(content).expect("version");
    let (rest, _) = x509_parser::asn1_rs::Any::from_der(rest).expect("algorithm");
    let (_, key) = OctetString::from_der(rest).expect("key");
    key.as_ref().to_vec()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ["pgvalet", "other"], "sub": "system:serviceaccount:shop:api",
        "exp": now() + 600, "nbf": now() - 5, "jti": "id-1", "groups": ["dba", "dev"],
    })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn rule(keys: TokenKeys) -> TokenRule {
    TokenRule {
        issuer: Arc::new(TokenIssuer {
            issuer: ISSUER.to_owned(),
            keys,
            ca: None,
        }),
        audience: "pgvalet".to_owned(),
        subject: Some(Pattern::new("system:serviceaccount:shop:*")),
        claims: Vec::new(),
        method: TokenMethod::Password,
        end_at_expiry: false,
    }
}

struct Offline {
    file: tempfile::NamedTempFile,
    rule: TokenRule,
    issuers: Issuers,
}

fn offline(signers: &[&Signer]) -> Offline {
    let file = tempfile::NamedTempFile::new().expect("a file");
    publish(&file, signers);
    let rule = rule(TokenKeys::File(file.path().to_owned()));
    let issuers = Issuers::new([&rule].into_iter(), &Issuers::default());
    Offline {
        file,
        rule,
        issuers,
    }
}

fn publish(file: &tempfile::NamedTempFile, signers: &[&Signer]) {
    let keys: Vec<Value> = signers.iter().map(|s| s.jwk()).collect();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).expect("written");
}

impl Offline {
    async fn judge(&self, token: &str) -> Result<bool, Rejected> {
        let verified = self.issuers.verify(token, [&self.rule].into_iter()).await?;
        Ok(verified.iter().any(|t| self.rule.accepts(t)))
    }
}

#[tokio::test]
async fn good_tokens_of_every_kind_of_key_hold() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::new("k1", algorithm);
        let offline = offline(&[&signer]);
        assert_eq!(
            offline.judge(&signer.sign(&claims())).await,
            Ok(true),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn what_a_token_says_has_to_fit() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let mut offline = offline(&[&signer]);
    for (name, value, holds) in [
        ("aud", json!("pgvalet"), true),
        ("aud", json!("another"), false),
        ("aud", json!([]), false),
        ("sub", json!("system:serviceaccount:shop2:api"), false),
        ("sub", json!("xsystem:serviceaccount:shop:api"), false),
    ] {
        let token = signer.sign(&changed(name, value.clone()));
        assert_eq!(offline.judge(&token).await, Ok(holds), "{name} {value}");
    }
    offline.rule.claims = vec![("groups".to_owned(), Pattern::new("dba"))];
    assert_eq!(offline.judge(&signer.sign(&claims())).await, Ok(true));
    for groups in [json!(["dev"]), json!("dev"), json!(null), json!({"dba": 1})] {
        let token = signer.sign(&changed("groups", groups));
        assert_eq!(offline.judge(&token).await, Ok(false));
    }
}

#[tokio::test]
async fn times_count() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let offline = offline(&[&signer]);
    for (name, value, expected) in [
        ("exp", json!(now() - 60), Rejected::Expired),
        ("nbf", json!(now() + 60), Rejected::NotYetValid),
        ("exp", json!("soon"), Rejected::Malformed),
        ("exp", json!(null), Rejected::Malformed),
    ] {
        let token = signer.sign(&changed(name, value.clone()));
        assert_eq!(offline.judge(&token).await, Err(expected), "{name} {value}");
    }
    // Clocks differ a little.
    let token = signer.sign(&changed("exp", json!(now() - 5)));
    assert_eq!(offline.judge(&token).await, Ok(true));
}

/// Header and claims as an attacker writes them, with any signature.
fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| B64.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(header),
        part(claims),
        B64.encode(signature)
    )
}

#[tokio::test]
async fn forgeries_are_refused() {
    let signer = Signer::new("k1", Algorithm::RS256);
    let stranger = Signer::new("k1", Algorithm::RS256);
    let offline = offline(&[&signer]);
    let refused = async |token: &str| offline.judge(token).await.expect_err(token);

    assert_eq!(
        refused(&stranger.sign(&claims())).await,
        Rejected::Signature
    );
    for alg in ["none", "None", "NONE", ""] {
        let token = forged(&json!({"alg": alg, "kid": "k1"}), &claims(), b"");
        assert_eq!(refused(&token).await, Rejected::Malformed);
    }
    // The public key taken for a secret of HMAC.
    let published = std::fs::read(offline.file.path()).expect("the keys");
    let public = signer.jwk();
    let modulus = public["n"].as_str().expect("a modulus").as_bytes();
    for secret in [published.as_slice(), modulus] {
        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let token = encode(&header, &claims(), &EncodingKey::from_secret(secret)).expect("made");
        assert_eq!(refused(&token).await, Rejected::Signature);
    }
    // The token's own key, by value or by address, is nobody's.
    let own = json!({"alg": "RS256", "jwk": stranger.jwk(), "jku": "https://attacker.example/"});
    let theirs = stranger.sign(&claims());
    let (_, rest) = theirs.split_once('.').expect("parts");
    let token = format!("{}.{rest}", B64.encode(own.to_string()));
    assert_eq!(refused(&token).await, Rejected::Signature);
    // An extension that must be understood.
    let critical = json!({"alg": "RS256", "kid": "k1", "crit": ["exp"]});
    assert_eq!(
        refused(&forged(&critical, &claims(), b"x")).await,
        Rejected::Malformed
    );
    // Another issuer's claim over the same key.
    let token = signer.sign(&changed("iss", json!("https://other.example")));
    assert_eq!(refused(&token).await, Rejected::UnknownIssuer);
    let mut altered = signer.sign(&claims());
    altered.truncate(altered.len() - 4);
    assert_eq!(refused(&altered).await, Rejected::Signature);
    for text in ["", ".", "..", "a.b.c", "%%%.%%%.%%%", "no token"] {
        assert_eq!(refused(text).await, Rejected::Malformed);
    }
    let huge = "a".repeat(LONGEST + 1);
    assert_eq!(refused(&huge).await, Rejected::TooLarge);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (old, new) = (
        Signer::new("old", Algorithm::ES256),
        Signer::new("new", Algorithm::ES256),
    );
    let offline = offline(&[&old]);
    let token = new.sign(&claims());
    assert_eq!(offline.judge(&token).await, Err(Rejected::UnknownKey));
    publish(&offline.file, &[&new]);
    let later = SystemTime::now() + std::time::Duration::from_secs(2);
    let file = std::fs::File::options()
        .append(true)
        .open(offline.file.path());
    file.and_then(|f| f.set_modified(later)).expect("touched");
    assert_eq!(offline.judge(&token).await, Ok(true));
    // What cannot be read leaves the keys as they are.
    std::fs::write(offline.file.path(), "{").expect("written");
    assert_eq!(offline.judge(&token).await, Ok(true));
}

/// An issuer that counts how often it is asked, and can be down.
struct Online {
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
    address: String,
}

async fn online(keys: Value) -> Online {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (asked, down) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (count, broken, base) = (asked.clone(), down.clone(), address.clone());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let n = socket.read(&mut request).await.unwrap_or(0);
            let path = String::from_utf8_lossy(&request[..n]);
            let body = if path.starts_with("GET /.well-known/openid-configuration ") {
                json!({"issuer": base, "jwks_uri": format!("{base}/keys")})
            } else {
                count.fetch_add(1, Relaxed);
                json!({"keys": keys})
            };
            let (status, body) = match broken.load(Relaxed) {
                true => ("503 Service Unavailable", String::new()),
                false => ("200 OK", body.to_string()),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    Online {
        asked,
        down,
        address,
    }
}

#[tokio::test]
async fn tokens_with_made_up_keys_do_not_hammer_the_issuer() {
    let (signer, stranger) = (
        Signer::new("k1", Algorithm::ES256),
        Signer::new("k2", Algorithm::ES256),
    );
    let online = online(json!([signer.jwk()])).await;
    let uri = format!("{}/keys", online.address)
        .parse()
        .expect("an address");
    let rule = rule(TokenKeys::Url(uri));
    let issuers = Issuers::new([&rule].into_iter(), &Issuers::default());
    let judge = async |token: &str| issuers.verify(token, [&rule].into_iter()).await;

    assert!(judge(&signer.sign(&claims())).await.is_ok());
    let flood = stranger.sign(&claims());
    for _ in 0..50 {
        assert_eq!(judge(&flood).await.err(), Some(Rejected::UnknownKey));
    }
    assert_eq!(online.asked.load(Relaxed), 1);
    // Down: what is known still holds.
    online.down.store(true, Relaxed);
    assert!(judge(&signer.sign(&claims())).await.is_ok());
    // A reload keeps the keys as well.
    let reloaded = Issuers::new([&rule].into_iter(), &issuers);
    let again = reloaded
        .verify(&signer.sign(&claims()), [&rule].into_iter())
        .await;
    assert!(again.is_ok());
}

#[tokio::test]
async fn keys_are_found_by_discovery_and_an_issuer_that_is_down_refuses() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let online = online(json!([signer.jwk()])).await;
    let document = format!("{}/.well-known/openid-configuration", online.address);
    let mut rule = rule(TokenKeys::Discovery(document.parse().expect("an address")));
    let mut issuer = TokenIssuer::clone(&rule.issuer);
    issuer.issuer.clone_from(&online.address);
    rule.issuer = Arc::new(issuer);
    let token = signer.sign(&changed("iss", json!(online.address)));
    online.down.store(true, Relaxed);
    let issuers = Issuers::new([&rule].into_iter(), &Issuers::default());
    let refused = issuers.verify(&token, [&rule].into_iter()).await;
    assert_eq!(refused.err(), Some(Rejected::KeysUnavailable));
    online.down.store(false, Relaxed);
    let issuers = Issuers::new([&rule].into_iter(), &Issuers::default());
    let verified = issuers
        .verify(&token, [&rule].into_iter())
        .await
        .expect("found");
    assert!(rule.accepts(&verified[0]));
}

#[test]
fn keys_that_verify_nothing_are_passed_over() {
    let ec = Signer::new("k1", Algorithm::ES256).jwk();
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"});
    let encryption = {
        let mut key = ec.clone();
        key["use"] = json!("enc");
        key
    };
    let mixed_up = {
        let mut key = ec.clone();
        key["alg"] = json!("HS256");
        key
    };
    let set = |keys: Value| keys::KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    let usable = |keys: Value| set(keys).map(|s| s.with_id(None).count()).ok();
    assert_eq!(
        usable(json!([ec, symmetric, encryption, mixed_up, {"kty": "new"}])),
        Some(1)
    );
    assert_eq!(usable(json!([symmetric])), None);
    assert_eq!(usable(json!(vec![&ec; 101])), None);
    for text in ["", "[]", "{}", "{\"keys\": 1}"] {
        assert!(keys::KeySet::parse(text.as_bytes()).is_err(), "{text}");
    }
}
