//! What a file may say, but seldom means.

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use super::{Config, ListenTls};
use crate::access::{AdminRight, Rule, Transport};
use crate::net::{ListenAddress, UpstreamTls, is_loopback};
use crate::upstream::Hosts;

/// One sentence for each doubtful setting, in the order of the file.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut list = Vec::new();
    listeners(config, &mut list);
    databases(config, &mut list);
    freezes(config, Utc::now(), &mut list);
    rules(config, &mut list);
    if config.clients.is_empty() {
        list.push("there is no [[client]], so nobody can connect".to_owned());
    }
    list
}

fn listeners(config: &Config, list: &mut Vec<String>) {
    let open: Vec<&str> = config
        .listen
        .addresses
        .iter()
        .filter_map(|address| match address {
            ListenAddress::Tcp { host, .. } if !is_loopback(host) => Some(host.as_str()),
            _ => None,
        })
        .collect();
    if let Some(host) = open.first() {
        match config.listen.tls {
            ListenTls::Off => list.push(format!(
                "[listen] address {host} can be reached from other machines and tls is off: what clients send and receive can be read on the way"
            )),
            ListenTls::Allow { .. } => list.push(format!(
                "[listen] address {host} can be reached from other machines and tls = \"allow\" leaves encryption to the client; \"require\" insists on it"
            )),
            ListenTls::Require { .. } => {}
        }
    }
    let unix = |a: &ListenAddress| matches!(a, ListenAddress::Unix { .. });
    if config.listen.socket_mode & 0o002 != 0 && config.listen.addresses.iter().any(unix) {
        list.push(format!(
            "[listen] socket_mode {:#05o} lets every user of this machine connect; only the rules keep them out",
            config.listen.socket_mode
        ));
    }
}

fn databases(config: &Config, list: &mut Vec<String>) {
    for (name, database) in &config.databases {
        match database.upstream.tls {
            Some(UpstreamTls::Disable) if !database.upstream.host.as_ref().is_some_and(Hosts::are_local) => {
                list.push(format!(
                    "[database.{name}] tls = \"disable\": the traffic to the server can be read and changed on the way"
                ));
            }
            Some(UpstreamTls::Require) => list.push(format!(
                "[database.{name}] tls = \"require\" encrypts, but does not check who answers; \"verify-full\" does"
            )),
            _ => {}
        }
        if database.upstream.allow_md5 {
            list.push(format!(
                "[database.{name}] allow_md5: md5 is weak and Postgres is giving it up; set a SCRAM password"
            ));
        }
        if !config.clients.iter().any(|c| c.databases.contains(name)) {
            list.push(format!(
                "[database.{name}] is granted to no [[client]], so nobody can use it"
            ));
        }
    }
}

/// A freeze that is over holds nothing up, and may have been meant for another year.
fn freezes(config: &Config, now: DateTime<Utc>, list: &mut Vec<String>) {
    for database in config.databases.values() {
        let Some(rotation) = config.rotation(database) else {
            continue;
        };
        for past in rotation.freeze.past(now) {
            list.push(format!(
                "[database.{}] rotation: the freeze {past} is over; remove it, or write \"MM-DD/MM-DD\" for one of every year",
                database.name()
            ));
        }
    }
}

fn rules(config: &Config, list: &mut Vec<String>) {
    for (i, client) in config.clients.iter().enumerate() {
        let rule = format!("[[client]] {:?} (rule {})", &*client.name, client.number);
        let networks = client.identity.network.iter().flat_map(|n| &n.0);
        for net in networks.filter(|n| is_wide(n)) {
            list.push(format!(
                "{rule} lets in all of {net}; a source address is the weakest identity, so name the networks you know"
            ));
        }
        let local = |net: &IpNet| is_inside_loopback(net);
        let mut networks = client.identity.network.iter().flat_map(|n| &n.0);
        if client.admin == Some(AdminRight::Change)
            && client.identity.is_address_only()
            && !networks.all(local)
        {
            list.push(format!(
                "{rule} may change things in the console and is recognised by nothing but its address; ask for a certificate or a token as well"
            ));
        }
        if let Some(why) = impossible(client, config) {
            list.push(format!("{rule} can match nobody: {why}"));
            continue;
        }
        if let Some(earlier) = config.clients[..i].iter().find(|e| e.covers(client)) {
            list.push(format!(
                "{rule} can never decide: {:?} (rule {}) stands before it and matches all that it matches",
                &*earlier.name, earlier.number
            ));
        }
    }
}

/// Why no connection can have all that the rule asks for.
fn impossible(rule: &Rule, config: &Config) -> Option<&'static str> {
    let conditions = rule.identity.conditions();
    let transports: Vec<Transport> = conditions.filter_map(|(_, c)| c.transport()).collect();
    let needs = |transport| transports.contains(&transport);
    let (unix, tls) = (needs(Transport::Unix), needs(Transport::Tls));
    let tcp = needs(Transport::Tcp);
    let listens = |unix: bool| {
        let is_unix = |a: &ListenAddress| matches!(a, ListenAddress::Unix { .. });
        config.listen.addresses.iter().any(|a| is_unix(a) == unix)
    };
    let networks = rule.identity.network.as_ref();
    let elsewhere = networks.is_some_and(|networks| !networks.0.iter().any(has_loopback));
    let now = chrono::Utc::now();
    if unix && tcp {
        Some("a client by a unix socket has no address")
    } else if unix && tls {
        Some("there is no TLS, and so no certificate, on a unix socket")
    } else if unix && !listens(true) {
        Some("[listen] address has no unix socket")
    } else if (tcp || tls) && !listens(false) {
        Some("[listen] address has no TCP address")
    } else if rule.identity.loopback_user.is_some() && elsewhere {
        Some("none of its networks is loopback")
    } else if tls && config.listen.tls == ListenTls::Off {
        Some("[listen] tls is off, so nobody shows a certificate")
    } else if rule.valid.as_ref().is_some_and(|v| v.is_over(now)) {
        Some("its time is over")
    } else {
        None
    }
}

/// Whether every address of the network is a loopback address.
fn is_inside_loopback(net: &IpNet) -> bool {
    net.network().is_loopback() && net.broadcast().is_loopback()
}

/// Whether some address of the network is a loopback address.
fn has_loopback(net: &IpNet) -> bool {
    let loopback = match net {
        IpNet::V4(_) => "127.0.0.0/8",
        IpNet::V6(_) => "::1/128",
    };
    loopback
        .parse::<IpNet>()
        .is_ok_and(|l| net.contains(&l) || l.contains(net))
}

/// Whether a network is larger than that of any one organisation (10.0.0.0/8, fc00::/7).
fn is_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(v4) => v4.prefix_len() < 8,
        IpNet::V6(v6) => v6.prefix_len() < 16 && !v6.network().is_unique_local(),
    }
}
