//! Decides which request the admin listener answers.
//!
//! A listener on loopback can be reached by every user of the machine, and by every web
//! page that one of them has open: a page may send requests to any address, and becomes
//! the same origin as a local server by a name that resolves to 127.0.0.1 (DNS
//! rebinding). Therefore, over TCP, `Host` has to be a name of this listener, `Origin` the
//! listener's own, and a request that changes something needs a token, which no page has.
//! Over a unix socket the kernel says who asks.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

use super::Token;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Tcp,
    /// Over a unix socket, with the user of the process at the other end.
    Unix {
        uid: u32,
    },
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    /// Reads what not every user of the machine may know: the rules, the audit log.
    ReadPrivate,
    Change,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A web page sent it, or it names another host.
    Foreign,
    /// The token is missing.
    NoToken,
    /// The token is missing, and this proxy has none.
    NoTokenSet,
}

/// The rules of one listener.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    token: Option<Token>,
    /// Requests that change nothing need the token too.
    reads_need_token: bool,
    /// The host in the configuration, besides the names of loopback.
    host: Option<String>,
    /// The user of this process, who needs no token over a unix socket.
    owner: u32,
}

impl Doorkeeper {
    /// With `reads_need_token` every request over TCP needs the token, except those for
    /// health. `host` is the listener's host in the configuration.
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
        action: Action,
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
            Caller::Tcp => action == Action::Read && !self.reads_need_token,
            // The mode of the socket decides who can read.
            Caller::Unix { uid } => action == Action::Read || uid == self.owner || uid == 0,
        };
        match &self.token {
            _ if shown || trusted => Ok(()),
            Some(_) => Err(Refusal::NoToken),
            None => Err(Refusal::NoTokenSet),
        }
    }

    /// Whether `Host` is a name of this listener that no other server can have.
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

/// Whether the browser says that a web page of another origin sent the request.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    // `none`: a person typed the address.
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

/// The value of a header as text, if it is there exactly once.
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
        let judge = |pairs: &[(&'static str, &str)]| {
            keeper.judge(Caller::Tcp, &headers(pairs), Action::Read)
        };
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
        // With the token, any name will do.
        let bearer = format!("Bearer {SECRET}");
        let shown = [("host", "10.0.0.1"), ("authorization", bearer.as_str())];
        assert_eq!(judge(&shown), Ok(()));
    }

    #[test]
    fn requests_of_web_pages_are_refused() {
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
            for action in [Action::Read, Action::Change] {
                let asked = headers(&[host, page, ("authorization", &bearer)]);
                let got = keeper.judge(Caller::Tcp, &asked, action);
                assert_eq!(got, Err(Refusal::Foreign), "{page:?}");
            }
        }
        for own in [
            ("origin", "http://localhost:6433"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            let got = keeper.judge(Caller::Tcp, &headers(&[host, own]), Action::Read);
            assert_eq!(got, Ok(()), "{own:?}");
        }
    }

    #[test]
    fn changes_need_the_token_or_the_owner() {
        let local = headers(&[("host", "localhost")]);
        let bearer = format!("Bearer {SECRET}");
        let shown = headers(&[("host", "localhost"), ("authorization", &bearer)]);
        let open = keeper(false);
        let tcp = |keeper: &Doorkeeper, asked, action| keeper.judge(Caller::Tcp, asked, action);
        assert_eq!(tcp(&open, &local, Action::Read), Ok(()));
        for action in [Action::Change, Action::ReadPrivate] {
            assert_eq!(tcp(&open, &local, action), Err(Refusal::NoToken));
            assert_eq!(tcp(&open, &shown, action), Ok(()));
        }
        let closed = keeper(true);
        assert_eq!(tcp(&closed, &local, Action::Read), Err(Refusal::NoToken));
        assert_eq!(tcp(&closed, &shown, Action::Read), Ok(()));
        let without = Doorkeeper::new(None, false, None);
        let got = tcp(&without, &local, Action::Change);
        assert_eq!(got, Err(Refusal::NoTokenSet));

        let unix = |uid, action| {
            let none = HeaderMap::new();
            without.judge(Caller::Unix { uid }, &none, action)
        };
        let own = nix::unistd::geteuid().as_raw();
        for uid in [own, 0] {
            assert_eq!(unix(uid, Action::Change), Ok(()));
        }
        assert_eq!(unix(4242, Action::Read), Ok(()));
        assert_eq!(unix(4242, Action::Change), Err(Refusal::NoTokenSet));
    }
}
