//! The kernel's own answer (sock_diag(7)). It finds one connection by its addresses,
//! however many sockets there are.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use super::Owner;

/// The cookie INET_DIAG_NOCOOKIE: the addresses alone name the socket.
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// MSG_DONTWAIT: the kernel has answered by the time the request is sent.
const AT_ONCE: i32 = nix::libc::MSG_DONTWAIT;

/// The owner of the socket `client`, which is connected to `ours`.
///
/// # Errors
/// The kernel does not answer such questions.
pub(super) fn owner(client: SocketAddr, ours: SocketAddr) -> io::Result<Option<Owner>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut question = NetlinkMessage::new(
        header,
        SockDiagMessage::InetRequest(InetRequest {
            family: match client.ip() {
                IpAddr::V4(_) => AF_INET,
                IpAddr::V6(_) => AF_INET6,
            },
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::ESTABLISHED,
            socket_id: SocketId {
                source_address: client.ip(),
                source_port: client.port(),
                destination_address: ours.ip(),
                destination_port: ours.port(),
                interface_id: 0,
                cookie: ANY_COOKIE,
            },
        })
        .into(),
    );
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut answer = Vec::with_capacity(4096);
    socket.recv(&mut answer, AT_ONCE)?;
    let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer)
        .map_err(|e| io::Error::other(e.to_string()))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
            let found = &found.header;
            Ok(Owner::of(found.state, found.uid, found.inode.into()))
        }
        NetlinkPayload::Error(e) => match e.to_io() {
            e if e.kind() == io::ErrorKind::NotFound => Ok(None),
            e => Err(e),
        },
        _ => Err(io::Error::other("an answer to another question")),
    }
}
