//! `pgvalet run`: runs the proxy until it is told to stop.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};

use super::workers::runtime;
use super::{Failure, harden, logging};
use crate::config::{self, Config};
use crate::net::PassedSockets;
use crate::server::Proxy;

pub(super) fn run(path: &Path, config: Config) -> Result<(), Failure> {
    harden::become_user(config.listen.user.as_ref())?;
    let passed = PassedSockets::take().map_err(|e| Failure::Failed(e.to_string()))?;
    logging::start()?;
    harden::allow_many_sockets();
    let runtime = runtime()?;
    let result = runtime.block_on(serve(path, config, passed));
    // A name service or a disk that hangs must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(path: &Path, config: Config, passed: PassedSockets) -> Result<(), Failure> {
    // Before anything is bound: a signal that arrives early must not be lost.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    for warning in config::warnings(&config) {
        warn!("{warning}");
    }
    let proxy = Proxy::start_with(config, passed)
        .await
        .map_err(|e| Failure::Failed(e.to_string()))?;
    info!(
        "pgvalet {} is running, pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    proxy.is_configured_by(path);
    notify(NotifyState::Ready);
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(&proxy),
            () = either(&mut terminate, &mut interrupt) => break,
            () = proxy.is_to_stop() => break,
        }
    }
    info!("stopping: transactions may finish");
    notify(NotifyState::Stopping);
    tokio::select! {
        () = proxy.stop() => info!("stopped"),
        () = either(&mut terminate, &mut interrupt) => warn!("stopped at once"),
    }
    Ok(())
}

/// Reads the file again. A file that is wrong changes nothing.
fn reload(proxy: &Proxy) {
    if let Err(e) = proxy.reload_file() {
        error!("the configuration was not reloaded, and nothing has changed: {e}");
    }
}

/// Notifies systemd, if it asked for that.
fn notify(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        debug!("systemd could not be notified: {e}");
    }
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}
