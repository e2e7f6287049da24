//! The older interface: `/proc/net/tcp`, a table of all sockets as text (proc(5)).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Owner;

/// The owner of the socket `client`, which is connected to `ours`.
pub(super) fn owner(client: SocketAddr, ours: SocketAddr) -> Option<Owner> {
    let table = |path| {
        let lines = BufReader::new(File::open(path).ok()?).lines();
        lines
            .skip(1)
            .map_while(Result::ok)
            .find_map(|line| read(&line, client, ours))
    };
    // An IPv4 connection may be made with an IPv6 socket.
    let owner = table("/proc/net/tcp").or_else(|| table("/proc/net/tcp6"))?;
    Owner::of(owner.0, owner.1, owner.2)
}

/// State, uid and inode, if the line is about this connection.
fn read(line: &str, client: SocketAddr, ours: SocketAddr) -> Option<(u8, u32, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    if (local, remote) != (client, ours) {
        return None;
    }
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let mut words = words.skip(3); // queues, timer, retransmits
    let uid = words.next()?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some((state, uid, inode))
}

/// Reads an address such as `0100007F:1F90`. The table has its words of 32 bits as
/// this machine stores them, so that their bytes in memory are those of the address.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |i: usize| {
        let digits = address.get(i * 8..i * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (i, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(i)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_table() {
        let (client, ours) = (
            "127.0.0.1:33434".parse().unwrap(),
            "127.0.0.1:8080".parse().unwrap(),
        );
        let line = "  7: 0100007F:829A 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 62215 3 00000000dccb26d9 20 4 1 18 -1";
        assert_eq!(read(line, client, ours), Some((1, 1000, 62215)));
        assert_eq!(read(line, ours, client), None);
        let mapped = line.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert_eq!(read(&mapped, client, ours), Some((1, 1000, 62215)));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_passed_over(line in "[0-9A-F: é]{0,80}") {
            let any = "127.0.0.1:1".parse().unwrap();
            let _ = read(&line, any, any);
        }
    }
}
