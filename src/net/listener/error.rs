//! Why nobody can be listened for.

use std::io;
use std::path::PathBuf;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {source}{}", remedy(source))]
    Bind { address: String, source: io::Error },
    #[error(
        "cannot listen on {0}: another process already serves this socket; choose another directory or stop it"
    )]
    SocketInUse(PathBuf),
    #[error(
        "cannot listen on {0}: a file that is no socket is in the way; move it or choose another directory"
    )]
    NotASocket(PathBuf),
    #[error("socket {index} that systemd passed on is no listening stream socket: {source}")]
    Passed { index: usize, source: io::Error },
    #[error(
        "systemd passed on a socket for {0}, which is no [listen] address; add it there, or remove it from the socket unit"
    )]
    PassedElsewhere(String),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has this port: choose another [listen] address or stop it"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a place this user may use, or a port above 1023"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::NotFound => "; make the directory first",
        _ => "",
    }
}
