use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::vault::Vault;
use crate::vault::api::Trail;
use crate::vault::principals::PolicyText;

/// A request that names a known key, and whose body is not complete.
fn half_of_a_request(key: &str) -> String {
    let now = chrono::Utc::now();
    let (date, day) = (now.format("%Y%m%dT%H%M%SZ"), now.format("%Y%m%d"));
    format!(
        "POST / HTTP/1.1\r\nHost: s\r\nX-Amz-Date: {date}\r\n\
         X-Amz-Target: secretsmanager.ListSecrets\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={key}/{day}/local/secretsmanager/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\n\
         Content-Length: 9\r\n\r\n{{"
    )
}

/// A connection that sends nothing, half a header or half a body is closed.
#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let vault = Vault::open(&path("db"), &path("key")).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (closing, closed) = watch::channel(false);
    let everything = r#"{"Version":"2012-10-17",
        "Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let policies = vec![PolicyText {
        name: "p".into(),
        document: everything.into(),
    }];
    let added = vault.add_principal("p".into(), policies, std::collections::BTreeMap::new());
    let half = half_of_a_request(&added.await.unwrap().1.id);
    let api = Api::new(vault, Trail::default());
    let patience = Patience {
        idle: Duration::from_millis(300),
        stranger: Duration::from_millis(300),
    };
    let served = tokio::spawn(accept(listener, None, api, closed, patience));
    for (sent, answer) in [
        ("", ""),
        ("POST / HTTP/1.1\r\nHost: s\r\n", ""),
        // Without a known key the rest of the body is not read.
        (
            "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{",
            "MissingAuthenticationTokenException",
        ),
        (&half, "RequestTimeoutException"),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut said = String::new();
        let _ = client.read_to_string(&mut said).await;
        assert!(said.contains(answer), "{sent:?}: {said:?}");
    }
    closing.send_replace(true);
    served.await.unwrap();
}
