//! Who may ask the admin listener what.
//!
//! A listener on loopback can be reached by every user of the machine, and by every web
//! page that one of them has open: a page may send requests to any address, and makes
//! itself one origin with a local server by a name that leads to 127.0.0.1 (DNS
//! rebinding). So over TCP a `Host` has to be a name of this listener, an `Origin` the
//! listener's own, and whatever changes something needs a token, which no page has. Over
//! a unix socket the kernel says who asks.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

use super::Token;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Tcp,
    /// Of a unix socket.
    Unix {
        uid: u32,
    },
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Read,
    Change,
}

/// Why somebody gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A web page asks, or a name that is none of this listener's.
    Foreign,
    /// The token would help.
    NoToken,
    /// There is none that could help.
    NoTokenAtAll,
}

/// What the requests of one listener are judged by.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    token: Option<Token>,
    /// Also what changes nothing needs the token.
    reads_need_token: bool,
    /// The host in the configuration; loopback's names are others of it.
    host: Option<String>,
    /// Who may do over a unix socket what needs the token: the user of this process.
    owner: u32,
}

impl Doorkeeper {
    /// With `reads_need_token` the token is asked of everybody who comes over TCP.
    /// `host` is what the configuration calls this listener.
    pub fn new(token: Option<Token>, reads_need_token: bool, host: Option<String>) -> Self {
        Self {
            token,
            reads_need_token,
            host,
            owner: nix::unistd::geteuid().as_raw(),
        }
    }

    pub(super) fn judge(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        wish: Wish,
    ) -> Result<(), Refusal> {
        let shown = self.token.as_ref().is_some_and(|t| t.admits(headers));
        let known = match caller {
            Caller::Tcp => shown || self.is_ours(headers),
            Caller::Unix { .. } => true, // no browser gets there
        };
        if !known || is_foreign(headers) {
            return Err(Refusal::Foreign);
        }
        let trusted = match caller {
            Caller::Tcp => wish == Wish::Read && !self.reads_need_token,
            // The mode of the socket says who reads.
            Caller::Unix { uid } => wish == Wish::Read || uid == self.owner || uid == 0,
        };
        match &self.token {
            _ if shown || trusted => Ok(()),
            Some(_) => Err(Refusal::NoToken),
            None => Err(Refusal::NoTokenAtAll),
        }
    }

    /// Whether a request names this listener by a name that nobody else can give.
    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let Some(host) = one(headers, &header::HOST) else {
            return false;
        };
        let Some(host) = host_of(host) else {
            return false;
        };
        let loopback = || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let own = self.host.as_deref();
        host.eq_ignore_ascii_case("localhost")
            || loopback()
            || own.is_some_and(|own| own.eq_ignore_ascii_case(host))
    }
}

/// Whether a web page of another origin asks, as its browser says.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    // `none`: somebody typed it.
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return true;
    }
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let same = one(headers, &header::ORIGIN)
        .and_then(|origin| origin.split_once("://"))
        .zip(one(headers, &header::HOST))
        .is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host));
    !same
}

/// The value of a header that is there once, as text.
fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    let fine = !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    fine.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    const SECRET: &str = "0123456789abcdef";

    fn keeper(reads_need_token: bool) -> Doorkeeper {
        let token = Token::new(SECRET).expect("a token");
        Doorkeeper::new(Some(token), reads_need_token, Some("pgvalet".into()))
    }

    #[test]
    fn a_host_is_a_name_of_this_listener() {
        let keeper = keeper(false);
        let judge =
            |pairs: &[(&'static str, &str)]| keeper.judge(Caller::Tcp, &headers(pairs), Wish::Read);
        for host in [
            "localhost",
            "LocalHost:6433",
            "127.0.0.1:6433",
            "127.8.9.1",
            "[::1]:6433",
            "pgvalet:6433",
        ] {
            assert_eq!(judge(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:6433",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "0.0.0.0:6433",
            "10.0.0.1",
            "localhost:6433.evil.example",
            "[::1].evil.example",
            "[::1",
        ] {
            assert_eq!(judge(&[("host", host)]), Err(Refusal::Foreign), "{host}");
        }
        assert_eq!(judge(&[]), Err(Refusal::Foreign));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(judge(&two), Err(Refusal::Foreign));
        // A scraper that has the token knows where it is.
        let bearer = format!("Bearer {SECRET}");
        let shown = [("host", "10.0.0.1"), ("authorization", bearer.as_str())];
        assert_eq!(judge(&shown), Ok(()));
    }

    #[test]
    fn no_web_page_asks() {
        let keeper = keeper(false);
        let bearer = format!("Bearer {SECRET}");
        let host = ("host", "localhost:6433");
        for page in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", ""),
            ("origin", "http://localhost:3000"),
            ("origin", "http://localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "Cross-Site"),
            ("sec-fetch-site", ""),
        ] {
            for wish in [Wish::Read, Wish::Change] {
                let asked = headers(&[host, page, ("authorization", &bearer)]);
                let got = keeper.judge(Caller::Tcp, &asked, wish);
                assert_eq!(got, Err(Refusal::Foreign), "{page:?}");
            }
        }
        for own in [
            ("origin", "http://localhost:6433"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            let got = keeper.judge(Caller::Tcp, &headers(&[host, own]), Wish::Read);
            assert_eq!(got, Ok(()), "{own:?}");
        }
    }

    #[test]
    fn changes_need_the_token_or_the_owner() {
        let local = headers(&[("host", "localhost")]);
        let bearer = format!("Bearer {SECRET}");
        let shown = headers(&[("host", "localhost"), ("authorization", &bearer)]);
        let open = keeper(false);
        let tcp = |keeper: &Doorkeeper, asked, wish| keeper.judge(Caller::Tcp, asked, wish);
        assert_eq!(tcp(&open, &local, Wish::Read), Ok(()));
        assert_eq!(tcp(&open, &local, Wish::Change), Err(Refusal::NoToken));
        assert_eq!(tcp(&open, &shown, Wish::Change), Ok(()));
        let closed = keeper(true);
        assert_eq!(tcp(&closed, &local, Wish::Read), Err(Refusal::NoToken));
        assert_eq!(tcp(&closed, &shown, Wish::Read), Ok(()));
        let without = Doorkeeper::new(None, false, None);
        let got = tcp(&without, &local, Wish::Change);
        assert_eq!(got, Err(Refusal::NoTokenAtAll));

        let unix = |uid, wish| {
            let none = HeaderMap::new();
            without.judge(Caller::Unix { uid }, &none, wish)
        };
        let own = nix::unistd::geteuid().as_raw();
        for uid in [own, 0] {
            assert_eq!(unix(uid, Wish::Change), Ok(()));
        }
        assert_eq!(unix(4242, Wish::Read), Ok(()));
        assert_eq!(unix(4242, Wish::Change), Err(Refusal::NoTokenAtAll));
    }
}
