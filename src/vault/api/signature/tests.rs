use axum::http::Request;
use proptest::prelude::*;

use super::canonical::{decode, encode};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = b"{\"SecretId\":\"a\"}";

fn parts(request: axum::http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

fn now() -> DateTime<Utc> {
    NaiveDateTime::parse_from_str("20150830T123600Z", DATE)
        .unwrap()
        .and_utc()
}

/// A request that is right in every way, but for what the test changes in it.
fn request(signature: &str) -> axum::http::request::Builder {
    Request::post("http://store/").header("host", "127.0.0.1:9999")
        .header("x-amz-date", "20150830T123600Z")
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/secretsmanager/aws4_request, \
                 SignedHeaders=host;x-amz-date;x-amz-target, Signature={signature}"
            ),
        )
}

fn signature() -> String {
    let signed = Signed::read(&parts(request("00"))).unwrap();
    let head = parts(request("00"));
    let canonical = signed.canonical(&head, BODY);
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        signed.date.0,
        signed.scope,
        hex::encode(digest(&SHA256, canonical.as_bytes()).as_ref())
    );
    hex::encode(hmac::sign(&signed.signing_key(SECRET).0, to_sign.as_bytes()).as_ref())
}

fn verify(head: &Parts, body: &[u8]) -> Result<(), ApiError> {
    let signed = Signed::read(head)?;
    signed.check_time(now())?;
    signed.verify(&signed.signing_key(SECRET), head, body)
}

/// `get-vanilla` of the test suite that AWS publishes for signers.
#[test]
fn the_published_example() {
    let head = parts(
        Request::get("http://example.amazonaws.com/")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z"),
    );
    let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let signed = Signed::new(
        "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request",
        "20150830T123600Z",
        None,
        "host;x-amz-date",
        signature,
    )
    .unwrap();
    signed
        .verify(&signed.signing_key(SECRET), &head, b"")
        .unwrap();
    assert!(
        signed
            .verify(&signed.signing_key("other"), &head, b"")
            .is_err()
    );
}

#[test]
fn what_was_signed_is_accepted_and_nothing_else() {
    let good = signature();
    assert_eq!(verify(&parts(request(&good)), BODY), Ok(()));
    assert!(verify(&parts(request(&good)), b"{\"SecretId\":\"b\"}").is_err());
    let mut other = parts(request(&good));
    other.headers.insert(
        "x-amz-target",
        "secretsmanager.DeleteSecret".parse().unwrap(),
    );
    assert!(verify(&other, BODY).is_err());
    let mut other = parts(request(&good));
    other
        .headers
        .insert("host", "127.0.0.1:9998".parse().unwrap());
    assert!(verify(&other, BODY).is_err());
    let mut other = parts(request(&good));
    other.headers.append(
        "x-amz-target",
        "secretsmanager.DeleteSecret".parse().unwrap(),
    );
    assert!(verify(&other, BODY).is_err());
    // What is said of the body's hash counts for nothing.
    let mut other = parts(request(&good));
    other
        .headers
        .insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
    assert_eq!(verify(&other, BODY), Ok(()));
    assert!(verify(&other, b"{}").is_err());
}

#[test]
fn each_fault_has_its_own_answer() {
    let good = signature();
    let with = |from: &str, to: &str| {
        let mut head = parts(request(&good));
        let value = head.headers["authorization"]
            .to_str()
            .unwrap()
            .replace(from, to);
        head.headers.insert("authorization", value.parse().unwrap());
        verify(&head, BODY).unwrap_err().kind
    };
    let without = |name: &str| {
        let mut head = parts(request(&good));
        head.headers.remove(name);
        verify(&head, BODY).unwrap_err().kind
    };
    let incomplete = "IncompleteSignatureException";
    let invalid = "InvalidSignatureException";
    assert_eq!(
        without("authorization"),
        "MissingAuthenticationTokenException"
    );
    assert_eq!(without("x-amz-date"), incomplete);
    assert_eq!(with("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), incomplete);
    assert_eq!(with("Signature=", "S="), incomplete);
    assert_eq!(with("SignedHeaders=", "Headers="), incomplete);
    assert_eq!(with("Credential=AKIDEXAMPLE", "Credential="), incomplete);
    assert_eq!(with(&good, "xyz"), incomplete);
    assert_eq!(with("host;", ""), invalid);
    assert_eq!(with("x-amz-date;", ""), invalid);
    assert_eq!(with(";x-amz-target", ""), invalid);
    assert_eq!(with("/secretsmanager/", "/s3/"), invalid);
    assert_eq!(with("20150830/us", "20150831/us"), invalid);
    let mut session = parts(request(&good));
    session
        .headers
        .insert("x-amz-security-token", "t".parse().unwrap());
    assert_eq!(
        verify(&session, BODY).unwrap_err().kind,
        "UnrecognizedClientException"
    );
}

#[test]
fn clocks_may_be_five_minutes_apart() {
    let signed = Signed::read(&parts(request("00"))).unwrap();
    for (seconds, good) in [
        (0, true),
        (299, true),
        (-299, true),
        (301, false),
        (-301, false),
    ] {
        let result = signed.check_time(now() + TimeDelta::seconds(seconds));
        assert_eq!(result.is_ok(), good, "{seconds}");
    }
}

#[test]
fn a_presigned_request_is_good_for_as_long_as_it_says() {
    let presigned = |expires: &str, signature: &str| {
        parts(
            Request::post(format!(
                "http://store/?X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fsecretsmanager%2Faws4_request\
                 &X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}\
                 &X-Amz-SignedHeaders=host%3Bx-amz-target&X-Amz-Signature={signature}"
            ))
            .header("host", "127.0.0.1:9999")
            .header("x-amz-target", "secretsmanager.GetSecretValue"),
        )
    };
    let head = presigned("60", "00");
    let signed = Signed::read(&head).unwrap();
    let canonical = signed.canonical(&head, BODY);
    assert!(!canonical.contains("X-Amz-Signature"), "{canonical}");
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        signed.date.0,
        signed.scope,
        hex::encode(digest(&SHA256, canonical.as_bytes()).as_ref())
    );
    let key = signed.signing_key(SECRET);
    let good = hex::encode(hmac::sign(&key.0, to_sign.as_bytes()).as_ref());
    assert_eq!(verify(&presigned("60", &good), BODY), Ok(()));
    assert!(verify(&presigned("61", &good), BODY).is_err());
    let signed = Signed::read(&presigned("60", &good)).unwrap();
    assert!(signed.check_time(now() + TimeDelta::seconds(61)).is_err());
    for bad in ["0", "-1", "604801", "x"] {
        assert!(Signed::read(&presigned(bad, "00")).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(value in "\\PC{0,120}", query in "[ -~&&[^\"<>#`{}]]{0,60}") {
        let request = Request::post(format!("http://store/?{}", query.replace(' ', "+")));
        if let Ok(request) = request.header("authorization", value).header("x-amz-date", "20150830T123600Z").body(()) {
            let _ = Signed::read(&request.into_parts().0);
        }
    }

    #[test]
    fn a_query_survives_coding(text in "\\PC{0,40}") {
        prop_assert_eq!(decode(&encode(&text)), text);
    }
}
