//! `pgvalet status`: what the running proxy says of itself.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Admin;
use crate::observe::{DatabaseStatus, Status};

#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error("[admin] address is \"\": this proxy has no status to show")]
    Off,
    #[error(
        "no proxy answers on {address} ({reason}); is `pgvalet run` running with this configuration?"
    )]
    Unreachable { address: String, reason: String },
    #[error("{address} answered {status}")]
    Refused { address: String, status: StatusCode },
    #[error("{address} did not answer with a status: {reason}")]
    Unreadable { address: String, reason: String },
    #[error("cannot read [admin] token_file {path}: {reason}")]
    Token { path: String, reason: String },
}

pub async fn status(admin: &Admin, json: bool) -> Result<(), StatusError> {
    let address = admin.address.clone().ok_or(StatusError::Off)?;
    let body = get(admin, &address).await?;
    if json {
        println!("{}", String::from_utf8_lossy(&body).trim_end());
        return Ok(());
    }
    let status: Status = serde_json::from_slice(&body).map_err(|e| StatusError::Unreadable {
        address,
        reason: e.to_string(),
    })?;
    print!("{}", render(&status));
    Ok(())
}

async fn get(admin: &Admin, address: &str) -> Result<Bytes, StatusError> {
    let unreachable = |reason: String| StatusError::Unreachable {
        address: address.to_owned(),
        reason,
    };
    let mut request = Request::get("/status").header(header::HOST, address);
    if let Some(path) = &admin.token_file {
        let token = tokio::fs::read_to_string(path)
            .await
            .map_err(|e| StatusError::Token {
                path: path.display().to_string(),
                reason: e.to_string(),
            })?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|e| unreachable(e.to_string()))?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    if response.status() != StatusCode::OK {
        return Err(StatusError::Refused {
            address: address.to_owned(),
            status: response.status(),
        });
    }
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    Ok(body.to_bytes())
}

fn render(status: &Status) -> String {
    let mut out = format!(
        "pgvalet {}, pid {}, since {}: {}\n",
        status.version,
        status.pid,
        status.started_at,
        status.not_ready.as_deref().unwrap_or("ready")
    );
    for database in &status.databases {
        out.push_str(&render_database(database));
    }
    for secret in &status.secrets {
        if let Some(error) = &secret.last_error {
            out.push_str(&format!("\nsecret {}: {error}\n", secret.secret));
        }
    }
    out
}

fn render_database(database: &DatabaseStatus) -> String {
    let DatabaseStatus { servers, .. } = database;
    let mut out = format!(
        "\n{} ({} mode, secret {})\n  clients {}, waiting {}; servers {} active, {} idle, {} opening, at most {}\n",
        database.name,
        database.pool_mode,
        database.secret,
        database.clients,
        database.waiting,
        servers.active,
        servers.idle,
        servers.opening,
        database.pool_size,
    );
    for g in &database.generations {
        let state = match &g.draining_since {
            None => format!("in force since {}", g.adopted_at),
            Some(since) => format!("draining since {since}"),
        };
        out.push_str(&format!(
            "  generation {}: version {} as {}, {state}, {} active, {} idle\n",
            g.number, g.version, g.user, g.active, g.idle
        ));
        for h in &g.holders {
            out.push_str(&format!(
                "    held by {} from {}, session {} since {}\n",
                h.client, h.source, h.session, h.since
            ));
        }
    }
    if let Some(error) = &database.last_error {
        out.push_str(&format!("  problem: {error}\n"));
    }
    out
}
