//! `pgvalet explain`: which rule decides, and why the others do not.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

mod refusal;

use super::{Failure, table};
use crate::access::{
    Account, AdminRight, Certificate, Decision, Denial, Evidence, Granted, Policy, Request,
};
use crate::admin::explain;
use crate::config::Config;
use crate::net::ClientTrust;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    pgvalet explain --database orders --from 10.0.0.7 --user api\n  \
    pgvalet explain --database orders --unix-user settlement\n  \
    pgvalet explain --database orders --from 10.0.0.7 --certificate client.pem --json\n  \
    pgvalet explain --database orders --from 10.0.0.7 --token token.jwt\n  \
    pgvalet explain --ref 7f3a\n\n\
    Exit codes: 0 let in, 1 denied")]
pub(super) struct Args {
    /// The database that is asked for
    #[arg(long, required_unless_present = "reference")]
    database: Option<String>,

    /// The ref that a refused client was shown: asks the running proxy why
    #[arg(long = "ref", value_name = "REF", conflicts_with_all = ["database", "from", "unix_user", "loopback_user", "certificate", "token", "at"])]
    reference: Option<String>,

    /// The user name that is asked for
    #[arg(long, default_value = "anyone")]
    user: String,

    /// The address that the client comes from; a port may follow
    #[arg(long, value_name = "ADDRESS", value_parser = explain::address, conflicts_with = "unix_user")]
    from: Option<IpAddr>,

    /// The user at the other end of a unix socket, by name or id
    #[arg(long, value_name = "USER", conflicts_with = "loopback_user")]
    unix_user: Option<String>,

    /// The user who holds the other end of a TCP connection over loopback
    #[arg(long, value_name = "USER")]
    loopback_user: Option<String>,

    /// The certificate that the client shows, PEM
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// What the client presents as its password: a JWT, or a presigned
    /// GetCallerIdentity. Its issuer, or AWS, is asked
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,

    /// The moment to decide for, RFC 3339; else now
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(reference) = &args.reference {
        return refusal::explain(reference, args.json, config, out).await;
    }
    let database = args.database.as_deref().unwrap_or_default();
    let (mut evidence, mut note) = evidence(args, config)?;
    let policy = Policy::new(&config.clients, &config.databases, None);
    if let Some(path) = &args.token {
        let token = fs::read_to_string(path).map_err(|e| unreadable("token", path, &e))?;
        let token = Zeroizing::new(token);
        if let Err(rejected) = policy.examine(token.trim(), &mut evidence).await {
            let said = format!("the token is not accepted: {}", rejected.words());
            note = Some(note.map_or(said.clone(), |note| format!("{note}\n{said}")));
        }
    }
    let request = Request {
        evidence: &evidence,
        database,
        user: &args.user,
        now: args.at.unwrap_or_else(Utc::now),
    };
    let decision = policy.decide(&request);
    if args.json {
        let value = explain::as_json(&decision, &request, note.as_deref());
        writeln!(out, "{value:#}")?;
    } else {
        as_text(&decision, &request, note.as_deref(), out)?;
    }
    match decision.grant {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::Shown),
    }
}

/// What pgvalet would know of such a client, and a note if the client would be turned away before
/// the rules are asked.
fn evidence(args: &Args, config: &Config) -> Result<(Evidence, Option<String>), Failure> {
    let mut evidence = match (&args.unix_user, args.from, &args.loopback_user) {
        (Some(user), _, _) => explain::by_unix_socket(local(user)?),
        (None, from, Some(user)) => Evidence {
            account: Some(local(user)?),
            ..explain::by_tcp(from.unwrap_or(IpAddr::from([127, 0, 0, 1])))
        },
        (None, Some(from), None) => explain::by_tcp(from),
        (None, None, None) => {
            return Err(Failure::Usage(
                "where does the client come from? add --from ADDRESS, --unix-user USER or --loopback-user USER".to_owned(),
            ));
        }
    };
    let Some(path) = &args.certificate else {
        return Ok((evidence, None));
    };
    let unusable = || Failure::Failed(format!("{} holds no certificate", path.display()));
    let pem = fs::read(path).map_err(|e| unreadable("certificate", path, &e))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable())?;
    let certificate = Certificate::read(&chain).ok_or_else(unusable)?;
    let note = match &config.listen.client_ca {
        None => {
            Some("[listen] client_ca is not set, so clients are asked for no certificate".into())
        }
        Some(files) => {
            let trust = ClientTrust::load(files).map_err(|e| Failure::Failed(e.to_string()))?;
            let distrust = trust.check(&chain).err();
            distrust.map(|d| {
                format!(
                    "the TLS handshake fails: {}",
                    Denial::Certificate(d).words()
                )
            })
        }
    };
    if note.is_none() {
        evidence.certificate = Some(Arc::new(certificate));
    }
    Ok((evidence, note))
}

/// A user of this machine.
fn local(user: &str) -> Result<Account, Failure> {
    explain::account(user).map_err(|e| Failure::Usage(e.to_string()))
}

fn unreadable(what: &str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::Failed(format!("the {what} {path} cannot be read: {error}"))
}

fn as_text(
    decision: &Decision,
    request: &Request<'_>,
    note: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match &decision.grant {
        Ok(Granted::Database(grant)) => writeln!(
            out,
            "let in as {:?} by rule {}, with secret {}",
            &*grant.client.name, grant.client.number, grant.secret
        )?,
        Ok(Granted::Console(grant)) => writeln!(
            out,
            "let in as {:?} by rule {}, to the console, {}",
            &*grant.client.name,
            grant.client.number,
            match grant.right {
                AdminRight::Read => "to look",
                AdminRight::Change => "to look and to change",
            }
        )?,
        Err(denial) => writeln!(out, "denied: {}", denial.words())?,
    }
    if let (Err(_), Some(meant)) = (&decision.grant, decision.meant(request)) {
        writeln!(out, "did you mean {meant}?")?;
    }
    if let Some(note) = note {
        writeln!(out, "{note}")?;
    }
    writeln!(out)?;
    let rows: Vec<Vec<String>> = decision
        .rules
        .iter()
        .map(|r| {
            vec![
                r.rule.number.to_string(),
                r.rule.name.to_string(),
                explain::verdict(decision, r).to_owned(),
                r.because(request).join("; "),
            ]
        })
        .collect();
    table::write(out, &[">RULE", "CLIENT", "VERDICT", "BECAUSE"], &rows)?;
    Ok(())
}
