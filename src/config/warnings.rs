//! What a file may say, but seldom means.

use ipnet::IpNet;

use super::{Config, ListenTls};
use crate::access::Rule;
use crate::net::{ListenAddress, UpstreamTls, is_loopback};
use crate::upstream::Hosts;

/// One sentence for each doubtful setting, in the order of the file.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut list = Vec::new();
    listeners(config, &mut list);
    databases(config, &mut list);
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

fn rules(config: &Config, list: &mut Vec<String>) {
    for (i, client) in config.clients.iter().enumerate() {
        let rule = format!("[[client]] {:?} (rule {})", &*client.name, client.rule);
        for net in client.network.iter().flatten().filter(|n| is_wide(n)) {
            list.push(format!(
                "{rule} lets in all of {net}; a source address is the weakest identity, so name the networks you know"
            ));
        }
        if let Some(why) = impossible(client, config) {
            list.push(format!("{rule} can match nobody: {why}"));
            continue;
        }
        if let Some(earlier) = config.clients[..i].iter().find(|e| covers(e, client)) {
            list.push(format!(
                "{rule} can never decide: {:?} (rule {}) stands before it and matches all that it matches",
                &*earlier.name, earlier.rule
            ));
        }
    }
}

/// Why no connection can have all that the rule asks for.
fn impossible(rule: &Rule, config: &Config) -> Option<&'static str> {
    let (by_unix, by_loopback) = (rule.unix_user.is_some(), rule.loopback_user.is_some());
    let by_tcp = rule.network.is_some() || by_loopback;
    let has = |unix: bool| {
        let is_unix = |a: &ListenAddress| matches!(a, ListenAddress::Unix { .. });
        config.listen.addresses.iter().any(|a| is_unix(a) == unix)
    };
    let local = |net: &IpNet| {
        let loopback = if matches!(net, IpNet::V4(_)) {
            "127.0.0.0/8"
        } else {
            "::1/128"
        };
        loopback
            .parse::<IpNet>()
            .is_ok_and(|l| net.contains(&l) || l.contains(net))
    };
    if by_unix && by_tcp {
        Some("a client by a unix socket has no address")
    } else if by_unix && rule.certificate.is_some() {
        Some("there is no TLS, and so no certificate, on a unix socket")
    } else if by_unix && !has(true) {
        Some("[listen] address has no unix socket")
    } else if (by_tcp || rule.certificate.is_some()) && !has(false) {
        Some("[listen] address has no TCP address")
    } else if by_loopback && rule.network.as_ref().is_some_and(|n| !n.iter().any(local)) {
        Some("none of its networks is loopback")
    } else if rule.certificate.is_some() && config.listen.tls == ListenTls::Off {
        Some("[listen] tls is off, so nobody shows a certificate")
    } else if rule
        .valid
        .as_ref()
        .is_some_and(|v| v.is_over(chrono::Utc::now()))
    {
        Some("its time is over")
    } else {
        None
    }
}

/// Whether a network is larger than that of any one organisation (10.0.0.0/8, fc00::/7).
fn is_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(v4) => v4.prefix_len() < 8,
        IpNet::V6(v6) => v6.prefix_len() < 16 && !v6.network().is_unique_local(),
    }
}

/// Whether every connection that `later` would let in is decided by `earlier`.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let network = match (&earlier.network, &later.network) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(e), Some(l)) => l.iter().all(|l| e.iter().any(|e| e.contains(l))),
    };
    let unix_user = earlier.unix_user.is_none() || earlier.unix_user == later.unix_user;
    let loopback_user =
        earlier.loopback_user.is_none() || earlier.loopback_user == later.loopback_user;
    let users = match (&earlier.users, &later.users) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(e), Some(l)) => l.iter().all(|u| e.contains(u)),
    };
    let databases = later
        .databases
        .iter()
        .all(|d| earlier.databases.contains(d));
    let certificate = match (&earlier.certificate, &later.certificate) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(e), Some(l)) => l.iter().all(|name| e.contains(name)),
    };
    let valid = earlier.valid.is_none() || earlier.valid == later.valid;
    let token = earlier.token.is_none() || earlier.token == later.token;
    let aws_iam = earlier.aws_iam.is_none() || earlier.aws_iam == later.aws_iam;
    token
        && aws_iam
        && network
        && unix_user
        && loopback_user
        && certificate
        && users
        && databases
        && valid
}
