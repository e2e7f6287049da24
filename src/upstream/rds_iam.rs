//! Tokens of RDS IAM authentication: a presigned request `rds-db:connect` that
//! stands for a password. AWS, "IAM database authentication": good for a login
//! within 15 minutes; the session goes on after that.

use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{LoginCache, Target};

/// How long a token is good for: the most that AWS allows.
const VALID: Duration = Duration::from_secs(15 * 60);
/// How long a token is used again: a login must not race its end.
const REUSED: Duration = Duration::from_secs(10 * 60);

/// The token that was made last. The lock is held while one is made, so that many
/// logins are one question to the provider of the AWS credentials.
#[derive(Default)]
pub(super) struct IamToken(Mutex<Option<Made>>);

struct Made {
    token: Zeroizing<String>,
    at: Instant,
    /// The host and port of the one server that the token is for.
    place: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IamError {
    #[error("no AWS credentials: {0}")]
    Credentials(String),
    #[error(
        "the region is not known: it is not in the host's name (….REGION.rds.amazonaws.com), nor in AWS_REGION"
    )]
    Region,
    #[error("the token cannot be signed: {0}")]
    Sign(String),
}

/// The token for this server and user, made at most ten minutes ago.
pub(super) async fn token(
    target: &Target,
    user: &str,
    cache: &LoginCache,
) -> Result<Zeroizing<String>, IamError> {
    let mut last = cache.iam.0.lock().await;
    let place = format!("{}:{}", target.host, target.port);
    if let Some(made) = &*last
        && made.at.elapsed() < REUSED
        && made.place == place
    {
        return Ok(made.token.clone());
    }
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let region = region(&target.host, &config).ok_or(IamError::Region)?;
    let provider = config
        .credentials_provider()
        .ok_or_else(|| IamError::Credentials("none are configured".to_owned()))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|e| IamError::Credentials(e.to_string()))?;
    let host = (&*target.host, target.port);
    let token = Zeroizing::new(presign(
        host,
        user,
        &region,
        credentials,
        SystemTime::now(),
    )?);
    *last = Some(Made {
        token: token.clone(),
        at: Instant::now(),
        place,
    });
    Ok(token)
}

fn region(host: &str, config: &SdkConfig) -> Option<String> {
    let before = host
        .strip_suffix(".rds.amazonaws.com")
        .or_else(|| host.strip_suffix(".rds.amazonaws.com.cn"));
    let in_name = before.and_then(|b| b.rsplit('.').next());
    let in_name = in_name.filter(|r| r.contains('-')).map(str::to_owned);
    in_name.or_else(|| config.region().map(ToString::to_string))
}

fn presign(
    (host, port): (&str, u16),
    user: &str,
    region: &str,
    credentials: Credentials,
    at: SystemTime,
) -> Result<String, IamError> {
    let failed = |e: &dyn std::fmt::Display| IamError::Sign(e.to_string());
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID);
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(at)
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?;
    let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
    let address = format!("https://{host}:{port}/?Action=connect&DBUser={user}");
    let request = SignableRequest::new(
        "GET",
        address.as_str(),
        std::iter::empty(),
        SignableBody::Bytes(b""),
    )
    .map_err(|e| failed(&e))?;
    let (instructions, _) = sign(request, &parameters.into())
        .map_err(|e| failed(&e))?
        .into_parts();
    // The token is the address without its scheme.
    let mut token = address["https://".len()..].to_owned();
    for (name, value) in instructions.params() {
        token += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature is that of botocore's `generate_db_auth_token` at the same
    /// moment.
    #[test]
    fn a_token_is_what_the_sdk_of_aws_makes() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let host = ("db.abc.eu-west-1.rds.amazonaws.com", 5432);
        let token = presign(host, "app user", "eu-west-1", credentials, at).unwrap();
        let (_, signature) = token.split_once("X-Amz-Signature=").expect("signed");
        assert_eq!(signature, SIGNATURE, "{token}");
        assert!(
            token.starts_with("db.abc.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=")
        );
    }

    const SIGNATURE: &str = "ff57d198e5a621810958f3f64a972c8c1a050b2e50fec38775f3005cfca6a1de";

    #[test]
    fn the_region_is_in_the_name() {
        let none = SdkConfig::builder().build();
        let of = |host: &str| region(host, &none);
        assert_eq!(
            of("db.abc.eu-west-1.rds.amazonaws.com").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            of("db.abc.cn-north-1.rds.amazonaws.com.cn").as_deref(),
            Some("cn-north-1")
        );
        assert_eq!(of("db.example.com"), None);
    }
}
