//! The PROXY protocol, versions 1 and 2: a header in front of everything else, in which a
//! load balancer says who its client is.
//!
//! Source: "The PROXY protocol", HAProxy's doc/proxy-protocol.txt. A receiver must not
//! guess whether there is a header: connections of the configured networks have to begin
//! with one, and other connections must not.
//!
//! It is written here because the header has to be read to its last byte and not beyond:
//! the crates for it parse a buffer, and the next bytes belong to TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of every header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, with its CR LF (section 2.1).
const LONGEST_LINE: usize = 107;

/// Addresses take 216 bytes at most, and extensions (TLVs) are skipped; no load balancer
/// sends more than this.
const LONGEST_BODY: usize = 4096;

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    Client(SocketAddr),
    /// The load balancer itself: a health check.
    Itself,
}

/// Why a connection has no valid header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no PROXY header from a load balancer")]
    Missing,
    #[error("malformed PROXY header")]
    Malformed,
    #[error("a PROXY header for something that is not TCP over IP")]
    Unsupported,
}

/// Whether the first four bytes of a connection begin a header. Outside the configured
/// networks that is an attempt to pose as somebody else.
pub fn is_header(first: [u8; 4]) -> bool {
    first == *b"PROX" || first == SIGNATURE[..4]
}

/// Reads a header, and not a byte more.
///
/// # Errors
/// [`ProxyError`]
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Proxied, ProxyError> {
    // The shortest header is longer: "PROXY UNKNOWN\r\n".
    let mut head = [0; SIGNATURE.len()];
    stream.read_exact(&mut head).await?;
    if head == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let [version_command, family_protocol, length @ ..] = rest;
        let length = usize::from(u16::from_be_bytes(length));
        if length > LONGEST_BODY {
            return Err(ProxyError::Malformed);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        return version_2(version_command, family_protocol, &body);
    }
    if !head.starts_with(b"PROXY ") {
        return Err(ProxyError::Missing);
    }
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(ProxyError::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    version_1(&line)
}

/// Reads a whole header from memory, and returns its length in bytes too.
///
/// # Errors
/// [`ProxyError`], also if the header is not complete.
pub fn parse(bytes: &[u8]) -> Result<(Proxied, usize), ProxyError> {
    let mut rest = bytes;
    // Memory is always ready.
    let read = futures_util::FutureExt::now_or_never(read(&mut rest));
    let proxied = read.unwrap_or(Err(ProxyError::Malformed))?;
    Ok((proxied, bytes.len() - rest.len()))
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`, section 2.1.
fn version_1(line: &[u8]) -> Result<Proxied, ProxyError> {
    let line = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_suffix("\r\n"))
        .ok_or(ProxyError::Malformed)?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        // The rest of such a line is to be ignored.
        ["PROXY", "UNKNOWN", ..] => Ok(Proxied::Itself),
        [
            "PROXY",
            family @ ("TCP4" | "TCP6"),
            source,
            destination,
            from,
            to,
        ] => {
            let address = |text: &str| -> Option<IpAddr> {
                match family {
                    "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
                    _ => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                }
            };
            let client = address(source).zip(port(from));
            let (ip, port) = client
                .filter(|_| address(destination).is_some() && port(to).is_some())
                .ok_or(ProxyError::Malformed)?;
            Ok(Proxied::Client(SocketAddr::new(ip.to_canonical(), port)))
        }
        _ => Err(ProxyError::Malformed),
    }
}

/// Decimal, without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let leading = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| digits && !leading)
}

/// Section 2.2: version and command, address family and transport, addresses
/// and ports, extensions.
fn version_2(version_command: u8, family: u8, body: &[u8]) -> Result<Proxied, ProxyError> {
    match version_command {
        0x20 => return Ok(Proxied::Itself), // LOCAL: the rest is to be ignored
        0x21 => {}
        _ => return Err(ProxyError::Malformed),
    }
    let (ip, ports) = match family {
        0x11 => {
            let (addresses, rest) = body.split_first_chunk::<8>().ok_or(ProxyError::Malformed)?;
            let [a, b, c, d, ..] = *addresses;
            (IpAddr::from([a, b, c, d]), rest)
        }
        0x21 => {
            let (source, rest) = body
                .split_first_chunk::<16>()
                .ok_or(ProxyError::Malformed)?;
            let (_, rest) = rest
                .split_first_chunk::<16>()
                .ok_or(ProxyError::Malformed)?;
            (IpAddr::from(*source), rest)
        }
        _ => return Err(ProxyError::Unsupported),
    };
    let (ports, _extensions) = ports
        .split_first_chunk::<4>()
        .ok_or(ProxyError::Malformed)?;
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    Ok(Proxied::Client(SocketAddr::new(ip.to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn client(text: &str) -> Proxied {
        Proxied::Client(text.parse().unwrap())
    }

    #[test]
    fn headers_of_version_1() {
        for (line, proxied) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
                client("192.0.2.1:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
                client("[2001:db8::1]:1"),
            ),
            (
                "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n",
                client("10.0.0.1:1"),
            ),
            ("PROXY UNKNOWN\r\n", Proxied::Itself),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Proxied::Itself),
        ] {
            let bytes = [line.as_bytes(), b"rest"].concat();
            assert_eq!(parse(&bytes).unwrap(), (proxied, line.len()), "{line}");
        }
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 x\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\n\n\n",
            "proxy tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        assert!(matches!(parse(&endless), Err(ProxyError::Malformed)));
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb];
        assert_eq!(
            parse(&v2(0x21, 0x11, &v4)).unwrap(),
            (client("192.0.2.1:56324"), 28)
        );
        // With an extension behind the addresses.
        let more = [&v4[..], &[4, 0, 1, 0]].concat();
        assert_eq!(parse(&v2(0x21, 0x11, &more)).unwrap().1, 32);
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 9;
        assert_eq!(parse(&v2(0x21, 0x21, &v6)).unwrap().0, client("[::1]:9"));
        assert_eq!(parse(&v2(0x20, 0, &[])).unwrap().0, Proxied::Itself);
        for (command, family, body) in [
            (0x21, 0x11, &v4[..11]),
            (0x21, 0x21, &v6[..35]),
            (0x22, 0x11, &v4[..]),
            (0x11, 0x11, &v4[..]),
            (0x21, 0x12, &v4[..]), // UDP
            (0x21, 0x31, &v4[..]), // a unix socket
            (0x21, 0x00, &v4[..]),
        ] {
            assert!(parse(&v2(command, family, body)).is_err());
        }
        assert!(parse(&v2(0x21, 0x11, &[0; LONGEST_BODY + 1])).is_err());
    }

    #[test]
    fn what_begins_a_header() {
        assert!(is_header(*b"PROX") && is_header(*b"\r\n\r\n"));
        assert!(!is_header([0, 0, 0, 8]) && !is_header(*b"GET "));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            head in prop_oneof![Just(Vec::new()), Just(b"PROXY ".to_vec()), Just(SIGNATURE.to_vec())],
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let all = [head, bytes].concat();
            if let Ok((_, length)) = parse(&all) {
                prop_assert!(length <= all.len());
            }
        }

        #[test]
        fn the_client_comes_through(ip in any::<IpAddr>(), port in any::<u16>()) {
            let (family, body, word) = match ip {
                IpAddr::V4(ip) => (0x11, [ip.octets(); 2].concat(), "TCP4"),
                IpAddr::V6(ip) => (0x21, [ip.octets(); 2].concat(), "TCP6"),
            };
            let expected = Proxied::Client(SocketAddr::new(ip.to_canonical(), port));
            let body = [body, port.to_be_bytes().to_vec(), vec![0, 1]].concat();
            prop_assert_eq!(parse(&v2(0x21, family, &body)).unwrap().0, expected);
            let line = format!("PROXY {word} {ip} {ip} {port} 1\r\n");
            prop_assert_eq!(parse(line.as_bytes()).unwrap(), (expected, line.len()));
        }
    }
}
