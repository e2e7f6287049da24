//! `[fleet]`: the other replicas.

use std::net::IpAddr;

use toml::de::DeValue;

use super::address::host_port;
use super::read::integer;
use super::section::{Section, mismatch};
use crate::base::nonempty;
use crate::fleet::{Options, Replica};

/// Reads `[fleet]`; `None`, with a problem, where the key is missing.
pub(super) fn fleet(mut s: Section<'_, '_>) -> Option<Options> {
    let key_file = s.path("key_file");
    if key_file.is_none() {
        s.wrong("key_file is missing; write key_file = \"secrets/fleet.key\", and make it with: pgvalet fleet key");
    }
    let address = s.text("address", |text| host_port(text).map(|_| text.to_owned()));
    let replica = s.value("replica", replica);
    let peers = s.list("peers", peer).unwrap_or_default();
    if let Some(Replica::Number(number)) = replica
        && number > peers.len()
    {
        s.wrong(format!(
            "replica {number} is none of the {} in peers; write a number of that list, from 1, or an address",
            peers.len()
        ));
    }
    s.finish();
    Some(Options {
        key_file: key_file?,
        address: address?,
        replica,
        peers,
    })
}

fn peer(text: &str) -> Result<(String, u16), String> {
    match host_port(text)? {
        (_, 0) => Err(format!(
            "{text:?} has no port; write that of the replica's [fleet] address"
        )),
        peer => Ok(peer),
    }
}

fn replica(value: &DeValue<'_>) -> Result<Replica, String> {
    let text = match value {
        DeValue::Integer(_) => {
            let number = usize::try_from(integer(value)?).unwrap_or(usize::MAX);
            return match number {
                0 => Err("numbers of replicas begin with 1".to_owned()),
                number => Ok(Replica::Number(number)),
            };
        }
        DeValue::String(text) => nonempty(text)?,
        other => return Err(mismatch("a number, or an address in quotes", other)),
    };
    // A host alone, which may be an IPv6 address.
    let host = text.trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok() || !text.contains(':') {
        return Ok(Replica::Address(name(host)?, None));
    }
    let (host, port) = host_port(&text)?;
    Ok(Replica::Address(name(&host)?, Some(port)))
}

/// A name or an address that others could look up.
fn name(host: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.chars().all(plain)) {
        true => Ok(host.to_owned()),
        false => Err(format!(
            "{host:?} is no host; write where the other replicas find this one: \"10.0.0.7\", \"host.example\" or \"host.example:6434\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const REST: &str = "[store]\naddress = \"127.0.0.1:0\"\n[fleet]\n";

    fn read(fleet: &str) -> Result<Options, String> {
        let config = parse(&format!("{REST}{fleet}"), Path::new("c.toml"));
        let config = config.map_err(|e| e.to_string())?;
        config.fleet.ok_or_else(|| "no fleet".to_owned())
    }

    #[test]
    fn where_a_replica_is() {
        let at = |host: &str, port| Some(Replica::Address(host.to_owned(), port));
        for (written, expected) in [
            ("", None),
            ("replica = 2", Some(Replica::Number(2))),
            ("replica = \"10.0.0.7\"", at("10.0.0.7", None)),
            ("replica = \"::1\"", at("::1", None)),
            ("replica = \"[::1]\"", at("::1", None)),
            ("replica = \"[::1]:7\"", at("::1", Some(7))),
            ("replica = \"r.example:7\"", at("r.example", Some(7))),
            ("replica = \"r.example\"", at("r.example", None)),
        ] {
            let all = format!("key_file = \"k\"\npeers = [\"a:1\", \"b:2\"]\n{written}");
            assert_eq!(read(&all).expect(written).replica, expected, "{written}");
        }
        let options = read("key_file = \"k\"").expect("that is enough");
        assert_eq!(
            (options.address.as_str(), options.peers.len()),
            ("0.0.0.0:6434", 0)
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (written, wrong) in [
            ("", "key_file is missing"),
            ("key_file = \"k\"\nreplica = 1", "none of the 0 in peers"),
            ("key_file = \"k\"\nreplica = 0", "begin with 1"),
            (
                "key_file = \"k\"\nreplica = true",
                "a number, or an address",
            ),
            (
                "key_file = \"k\"\nreplica = \"not a host\"",
                "is no host; write where",
            ),
            ("key_file = \"k\"\nreplica = \"a b:7\"", "is no address"),
            ("key_file = \"k\"\nreplica = \"a/b\"", "is no host"),
            ("key_file = \"k\"\npeers = \"a:0\"", "has no port"),
            ("key_file = \"k\"\npeers = \"a\"", "is no address"),
            (
                "key_file = \"k\"\nfleet_size = 3",
                "[database.NAME] fleet_size",
            ),
        ] {
            let error = read(written).expect_err(written);
            assert!(error.contains(wrong), "{written}: {error}");
        }
    }
}
