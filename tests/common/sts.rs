//! A stand-in for AWS STS that answers a signed GetCallerIdentity: the signature
//! is computed anew, with a key that only the two know.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const REGION: &str = "eu-west-1";
pub const AUDIENCE: &str = "pgvalet";
const AUDIENCE_HEADER: &str = "x-pgvalet-audience";

/// Access keys and the callers who have them.
const CALLERS: [(&str, &str); 2] = [
    (
        "AKIDORDERS",
        "arn:aws:sts::123456789012:assumed-role/orders/i-0abc",
    ),
    (
        "AKIDREPORTS",
        "arn:aws:sts::123456789012:assumed-role/reports/i-0def",
    ),
];

/// The other half of an access key, told to nobody else.
pub fn secret_of(access_key: &str) -> String {
    format!("secret of {access_key}")
}

/// A request to be signed: a good one, unless a test changes it.
#[derive(Clone)]
pub struct Signing {
    pub endpoint: String,
    pub audience: &'static str,
    pub access_key: String,
    pub secret: String,
    pub token: Option<String>,
    pub region: String,
    pub service: String,
    pub at: SystemTime,
    pub expires: Duration,
}

impl Signing {
    pub fn new(endpoint: &str, access_key: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            audience: AUDIENCE,
            access_key: access_key.to_owned(),
            secret: secret_of(access_key),
            token: Some(format!("session-token-{access_key}")),
            region: REGION.to_owned(),
            service: "sts".to_owned(),
            at: SystemTime::now(),
            expires: Duration::from_secs(300),
        }
    }

    pub fn with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut changed = self.clone();
        change(&mut changed);
        changed.address()
    }

    /// The address that an application presents: signed, and not sent.
    pub fn address(&self) -> String {
        let (key, secret) = (&self.access_key, &self.secret);
        let identity = Credentials::new(key, secret, self.token.clone(), None, "test").into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(self.expires);
        settings.excluded_headers = None;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.at)
            .settings(settings)
            .build()
            .expect("parameters")
            .into();
        let address = format!(
            "{}/?Action=GetCallerIdentity&Version=2011-06-15",
            self.endpoint
        );
        let headers = std::iter::once((AUDIENCE_HEADER, self.audience));
        let request =
            SignableRequest::new("GET", address.as_str(), headers, SignableBody::Bytes(b""));
        let signed = sign(request.expect("a request"), &params).expect("signed");
        let (instructions, _) = signed.into_parts();
        let encoded = instructions.params().iter().map(|(name, value)| {
            format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        });
        format!("{address}{}", encoded.collect::<String>())
    }
}

/// A running one; it ends when dropped.
pub struct Sts {
    pub endpoint: String,
    /// The requests that it was sent, whatever it answered.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Sts {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::default());
        let (seen, own): (Arc<Mutex<Vec<String>>>, _) = (asked.clone(), endpoint.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match socket.read_buf(&mut request).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let (status, body) = match caller(&own, &request) {
                    Some(arn) => ("200 OK", answer(arn, &request)),
                    None => ("403 Forbidden", "SignatureDoesNotMatch".to_owned()),
                };
                seen.lock().expect("not poisoned").push(request);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            endpoint,
            asked,
            task,
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.lock().expect("not poisoned").len()
    }

    /// The header of every request so far, in lower case.
    pub fn requests(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().map(|r| r.to_lowercase()).collect()
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The caller whose signature this is, if it is right for this endpoint, region
/// and service and still counts.
fn caller(own: &str, request: &str) -> Option<&'static str> {
    let path = request.strip_prefix("GET ")?.split(' ').next()?;
    let header = |name: &str| {
        let of_it = |line: &str| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        };
        request.lines().find_map(of_it)
    };
    let parameter = |name: &str| {
        let (_, query) = path.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == name)?;
        Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
    };
    let credential = parameter("X-Amz-Credential")?;
    let [access_key, _, REGION, "sts", "aws4_request"] =
        credential.split('/').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let (_, arn) = CALLERS.iter().find(|(key, _)| *key == access_key)?;
    let date = parameter("X-Amz-Date")?;
    let date = chrono::NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ").ok()?;
    let at = SystemTime::from(date.and_utc());
    let expires = Duration::from_secs(parameter("X-Amz-Expires")?.parse().ok()?);
    if at + expires < SystemTime::now() || header("x-pgvalet-audience")? != AUDIENCE {
        return None;
    }
    let right = Signing {
        endpoint: format!("http://{}", header("host")?),
        token: parameter("X-Amz-Security-Token"),
        at,
        expires,
        ..Signing::new(own, access_key)
    };
    let signature = |address: &str| {
        let (_, rest) = address.split_once("X-Amz-Signature=")?;
        Some(rest.get(..64)?.to_owned())
    };
    (signature(&right.address())? == signature(path)?).then_some(*arn)
}

/// STS answers in XML to whoever does not ask for something else.
fn answer(arn: &str, request: &str) -> String {
    if request.to_lowercase().contains("accept: application/json") {
        let result = serde_json::json!({
            "Account": "123456789012", "Arn": arn, "UserId": "AROAEXAMPLE:i",
        });
        serde_json::json!({ "GetCallerIdentityResponse": { "GetCallerIdentityResult": result } })
            .to_string()
    } else {
        format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
    }
}
