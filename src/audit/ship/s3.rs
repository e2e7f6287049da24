//! Objects of S3, which its object lock keeps from being changed.
//!
//! One request is all that is needed of S3 (`PutObject`), so that its SDK is not.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::body::Bytes;
use hyper::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Runtime;

use super::options::Lock;
use super::sinks::runtime;
use super::target::{Message, Target, lines};
use crate::net::https::Https;

/// What stands for itself in the path of an object.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

pub struct S3 {
    bucket: String,
    /// With the name of the log, so that several may share a bucket.
    prefix: String,
    region: Option<String>,
    endpoint_url: Option<String>,
    lock: Option<(Lock, Duration)>,
    client: Https,
    runtime: Runtime,
    /// Read when it is needed first: it may ask the network.
    config: Option<SdkConfig>,
}

impl S3 {
    pub fn of(
        bucket: &str,
        prefix: String,
        region: Option<&str>,
        endpoint_url: Option<&str>,
        lock: Option<(Lock, Duration)>,
    ) -> Result<Self, String> {
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
            region: region.map(str::to_owned),
            endpoint_url: endpoint_url.map(str::to_owned),
            lock,
            client: Https::new(None).map_err(|e| e.to_string())?,
            runtime: runtime()?,
            config: None,
        })
    }

    fn config(&mut self) -> SdkConfig {
        if let Some(config) = &self.config {
            return config.clone();
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = self.runtime.block_on(loader.load());
        self.config = Some(config.clone());
        config
    }

    /// The address of an object.
    fn address(&self, region: &str, key: &str) -> String {
        let key = utf8_percent_encode(key, PATH);
        let bucket = &self.bucket;
        match &self.endpoint_url {
            Some(url) => format!("{}/{bucket}/{key}", url.trim_end_matches('/')),
            // The certificate of S3 is for one more label, and not for several.
            None if bucket.contains('.') => {
                format!("https://s3.{region}.amazonaws.com/{bucket}/{key}")
            }
            None => format!("https://{bucket}.s3.{region}.amazonaws.com/{key}"),
        }
    }

    fn headers(&self, body: &[u8], now: SystemTime) -> Vec<(String, String)> {
        let checksum = BASE64_STANDARD.encode(digest(&SHA256, body));
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-ndjson".to_owned()),
            // An object that is locked has to come with one.
            ("x-amz-checksum-sha256".to_owned(), checksum),
            (
                "x-amz-sdk-checksum-algorithm".to_owned(),
                "SHA256".to_owned(),
            ),
        ];
        if let Some((lock, retain)) = self.lock {
            let until = DateTime::<Utc>::from(now + retain);
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            let mode = match lock {
                Lock::Governance => "GOVERNANCE",
                Lock::Compliance => "COMPLIANCE",
            };
            headers.push(("x-amz-object-lock-mode".to_owned(), mode.to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date".to_owned(), until));
        }
        headers
    }
}

impl Target for S3 {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Ok(());
        };
        // The same records have the same name, so that a second attempt makes no second object.
        let key = format!("{}{:012}-{:012}.jsonl", self.prefix, first.seq, last.seq);
        let body = lines(messages);
        let config = self.config();
        let region = config.region().map(ToString::to_string);
        let region = region.ok_or("the region of the bucket is not known; set region")?;
        let provider = config.credentials_provider();
        let provider = provider.ok_or("there are no credentials of AWS")?;
        let credentials = self.runtime.block_on(provider.provide_credentials());
        let credentials = credentials.map_err(|e| e.to_string())?;
        let now = SystemTime::now();
        let address = self.address(&region, &key);
        let mut headers = self.headers(&body, now);
        let signed = signature(credentials, &region, now, &address, &headers, &body)?;
        headers.extend(signed);
        let uri: Uri = address.parse().map_err(|e| format!("{address}: {e}"))?;
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let sent = self
            .client
            .send(Method::PUT, &uri, &headers, Bytes::from(body));
        let (status, answer) = self.runtime.block_on(sent).map_err(|e| e.to_string())?;
        if status.is_success() {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&answer);
        let answer: String = answer
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        Err(format!("{address} answered with status {status}: {answer}"))
    }
}

/// The headers that sign a request.
fn signature(
    credentials: Credentials,
    region: &str,
    now: SystemTime,
    address: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Vec<(String, String)>, String> {
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| e.to_string())?;
    let headers = headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let request = SignableRequest::new("PUT", address, headers, SignableBody::Bytes(body));
    let request = request.map_err(|e| e.to_string())?;
    let signed = sign(request, &parameters.into()).map_err(|e| e.to_string())?;
    let (instructions, _) = signed.into_parts();
    let headers = instructions.headers();
    Ok(headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
}
