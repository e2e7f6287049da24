use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::base::Pattern;

/// What an application does: signs, and does not send.
pub fn presign(endpoint: &str, audience: &str, secret: &str, at: SystemTime) -> String {
    let identity = Credentials::new(
        "AKIDEXAMPLE",
        secret,
        Some("session".to_owned()),
        None,
        "test",
    );
    let identity = identity.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(300));
    settings.excluded_headers = None;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("sts")
        .time(at)
        .settings(settings)
        .build()
        .expect("parameters");
    let address = format!("{endpoint}/?Action=GetCallerIdentity&Version=2011-06-15");
    let headers = [(AUDIENCE_HEADER, audience)];
    let request = SignableRequest::new(
        "GET",
        address.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(b""),
    );
    let (instructions, _) = sign(request.expect("a request"), &params.into())
        .expect("signed")
        .into_parts();
    let more: Vec<String> = instructions
        .params()
        .iter()
        .map(|(name, value)| {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("&{name}={value}")
        })
        .collect();
    format!("{address}{}", more.concat())
}

/// Answers as STS does to whoever signed with the secret "good", for the
/// audience that the header says.
async fn stand_in() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, base) = (asked.clone(), endpoint.clone());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Relaxed);
            let mut bytes = vec![0; 8192];
            let n = socket.read(&mut bytes).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let audience = text
                .lines()
                .find_map(|line| line.strip_prefix("x-pgvalet-audience: "))
                .unwrap_or_default();
            let date = path
                .split_once("X-Amz-Date=")
                .and_then(|(_, rest)| rest.get(..16))
                .unwrap_or_default();
            let at = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ");
            let at = SystemTime::from(at.expect("a date").and_utc());
            let good = signature(&presign(&base, audience, "good", at)) == signature(&path);
            let (status, body) = match good {
                true => (
                    "200 OK",
                    r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"123456789012","Arn":"arn:aws:sts::123456789012:assumed-role/orders/i-0abc","UserId":"A:i"}}}"#,
                ),
                false => ("403 Forbidden", "{}"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (endpoint, asked)
}

fn signature(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("X-Amz-Signature=")?;
    rest.get(..64)
}

fn rule(endpoint: &str) -> AwsIamRule {
    AwsIamRule {
        role: Pattern::new("arn:aws:iam::123456789012:role/orders"),
        sts: Sts {
            audience: "pgvalet".to_owned(),
            endpoint: Some(endpoint.parse().expect("an address")),
        },
    }
}

#[tokio::test]
async fn sts_says_who_signed() {
    let (endpoint, asked) = stand_in().await;
    let rule = rule(&endpoint);
    let callers = Callers::new(true, &Callers::default());
    let now = SystemTime::now();
    let request = presign(&endpoint, "pgvalet", "good", now);
    let caller = callers.ask(&request, &rule.sts).await.expect("known");
    assert!(rule.accepts(&caller));
    assert_eq!(&*caller.role, "arn:aws:iam::123456789012:role/orders");
    // A pool of connections is one question.
    assert_eq!(callers.ask(&request, &rule.sts).await, Ok(caller.clone()));
    assert_eq!(asked.load(Relaxed), 1);

    let refused = async |request: &str| callers.ask(request, &rule.sts).await.err();
    let forged = presign(&endpoint, "pgvalet", "bad", now);
    assert_eq!(refused(&forged).await, Some(Rejected::Signature));
    let elsewhere = presign(&endpoint, "another service", "good", now);
    assert_eq!(refused(&elsewhere).await, Some(Rejected::Signature));
    let old = presign(&endpoint, "pgvalet", "good", now - Duration::from_secs(301));
    assert_eq!(refused(&old).await, Some(Rejected::Expired));
    let other = AwsIamRule {
        role: Pattern::new("arn:aws:iam::123456789012:role/other"),
        ..rule.clone()
    };
    assert!(!other.accepts(&caller));
}

#[test]
fn a_session_is_its_role() {
    for (arn, expected) in [
        (
            "arn:aws:sts::1:assumed-role/app/session",
            "arn:aws:iam::1:role/app",
        ),
        (
            "arn:aws-cn:sts::1:assumed-role/app/i",
            "arn:aws-cn:iam::1:role/app",
        ),
        ("arn:aws:iam::1:user/path/me", "arn:aws:iam::1:user/path/me"),
        (
            "arn:aws:sts::1:federated-user/me",
            "arn:aws:sts::1:federated-user/me",
        ),
        ("nonsense", "nonsense"),
    ] {
        assert_eq!(role(arn), expected);
    }
}
