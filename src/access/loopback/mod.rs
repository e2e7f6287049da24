//! The owner of the client's end of a TCP connection over loopback.
//!
//! Both ends of such a connection are sockets of this machine, so the kernel can be
//! asked who made the other one. As long as pgvalet holds its own end, no other
//! socket can have the same pair of addresses: the answer is about this client or
//! about nobody.
//!
//! Only an established socket that a process still holds counts. The kernel reports
//! an orphan, whose process has closed it, with uid 0, and the address may belong to
//! somebody's listener by then.
//!
//! * `sock_diag` the kernel's own answer; `proc_net` the older interface
//! * `process`   the process that holds a socket

#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod sock_diag;

use std::net::SocketAddr;

use super::Account;

/// The owner of an established socket that a process holds.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: u32,
    inode: u64,
}

/// The number of this state in both sources (include/net/tcp_states.h).
#[cfg(target_os = "linux")]
const ESTABLISHED: u8 = 1;

#[cfg(target_os = "linux")]
impl Owner {
    fn of(state: u8, uid: u32, inode: u64) -> Option<Self> {
        (state == ESTABLISHED && inode != 0).then_some(Self { uid, inode })
    }
}

/// The account that holds the socket `client`, which is connected to `ours`. Blocks:
/// it may read many files.
#[cfg(target_os = "linux")]
pub(super) fn account(client: SocketAddr, ours: SocketAddr) -> Option<Account> {
    let owner = match sock_diag::owner(client, ours) {
        Ok(owner) => owner?,
        // The kernel lacks the module, or a seccomp filter forbids it: the older
        // interface has the same answer.
        Err(e) => {
            tracing::debug!("sock_diag does not answer ({e}); reading /proc/net/tcp");
            proc_net::owner(client, ours)?
        }
    };
    let (pid, exe) = process::holding(owner).unzip();
    Some(Account {
        pid,
        exe: exe.flatten(),
        ..Account::of(owner.uid)
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn account(_client: SocketAddr, _ours: SocketAddr) -> Option<Account> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        (client, ours)
    }

    fn asked(ours: &TcpStream) -> [Option<Owner>; 2] {
        let (client, ours) = (ours.peer_addr().unwrap(), ours.local_addr().unwrap());
        let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
        let (client, ours) = (canonical(client), canonical(ours));
        let diag = sock_diag::owner(client, ours).expect("sock_diag answers");
        [diag, proc_net::owner(client, ours)]
    }

    /// Both sources agree, for each family of addresses.
    #[test]
    fn the_owner_is_this_process() {
        for address in ["127.0.0.1:0", "[::1]:0", "127.7.7.7:0"] {
            let (_client, ours) = pair(address);
            let [diag, proc] = asked(&ours);
            assert_eq!(diag, proc, "{address}");
            assert_eq!(diag.unwrap().uid, nix::unistd::geteuid().as_raw());
            let client = ours.peer_addr().unwrap();
            let account = account(client, ours.local_addr().unwrap()).unwrap();
            assert_eq!(account.pid, Some(std::process::id().cast_signed()));
            let exe = std::env::current_exe().unwrap();
            assert_eq!(account.exe.as_deref(), exe.to_str());
        }
    }

    /// A client may use a socket of the other family.
    #[test]
    fn an_ipv6_socket_for_an_ipv4_address_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(format!("[::ffff:127.0.0.1]:{port}")).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let [diag, proc] = asked(&ours);
        assert!(diag.is_some());
        assert_eq!(diag, proc);
    }

    /// The kernel reports an orphan as if it were root's.
    #[test]
    fn a_socket_that_was_closed_is_nobodys() {
        let (client, ours) = pair("127.0.0.1:0");
        drop(client);
        assert_eq!(asked(&ours), [None, None]);
        // Nor does a listener on the client's address stand in for it.
        let _listener = TcpListener::bind(ours.peer_addr().unwrap());
        assert_eq!(asked(&ours), [None, None]);
    }
}
