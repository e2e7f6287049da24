//! `pgvalet run`: the proxy, until it is told to stop.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::Failure;
use crate::config::{self, Config};
use crate::server::Proxy;

pub async fn run(path: &Path, config: Config) -> Result<(), Failure> {
    // Before anything is bound: a signal that arrives early must not be lost.
    let listen = |kind| signal(kind).map_err(Failure::Runtime);
    let mut hangup = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;

    for warning in config::warnings(&config) {
        warn!("{warning}");
    }
    let proxy = Proxy::start(config).await?;
    info!(
        "pgvalet {} is running, pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(path, &proxy),
            () = either(&mut terminate, &mut interrupt) => break,
        }
    }
    info!("stopping: transactions may finish");
    tokio::select! {
        () = proxy.stop() => info!("stopped"),
        () = either(&mut terminate, &mut interrupt) => warn!("stopped at once"),
    }
    Ok(())
}

/// A file that is wrong changes nothing.
fn reload(path: &Path, proxy: &Proxy) {
    match config::load(path) {
        Ok(config) => {
            for warning in config::warnings(&config) {
                warn!("{warning}");
            }
            proxy.reload(config);
        }
        Err(e) => error!("not reloaded, everything stays as it is: {e}"),
    }
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}
