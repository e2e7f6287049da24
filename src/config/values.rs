//! Readers of single values. Each gives the value, or a sentence that says what
//! is wrong and what to write.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use super::read::integer;
use super::stores::secret_in;
use crate::access::UserRef;
use crate::base::{nonempty, suggestion};
use crate::secret::{SecretId, StoreName};

/// A network in CIDR form, or an address alone.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("{text:?} is no network; write it like \"10.0.0.0/8\" or \"10.1.2.3\"")
        })?,
    };
    if net.addr() != net.network() {
        return Err(format!(
            "{text:?} has bits set beyond its prefix; write \"{}\" for the network or \"{}\" for the one address",
            net.trunc(),
            net.addr()
        ));
    }
    // The mapped address of a client is compared as an IPv4 address, so that such a
    // network would never match.
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return Err(format!(
            "{text:?} is an IPv4 network, written as IPv6; write \"{v4}/{}\"",
            v6.prefix_len() - 96
        ));
    }
    Ok(net)
}

/// A name or an ARN, by the rules of Secrets Manager (CreateSecret, `Name`);
/// `!` stands in the names of secrets that AWS services manage (`rds!db-…`).
/// The name of one of these stores may stand in front of it.
pub(super) fn secret(text: &str, stores: &[StoreName]) -> Result<SecretId, String> {
    let id = secret_in(text, stores);
    allowed(id.within()).map_err(|why| match text.split_once(':') {
        Some((name, _))
            if id.store().is_none() && name != "arn" && stores.iter().any(Option::is_some) =>
        {
            no_store(text, name, stores)
        }
        _ => why,
    })?;
    if id.store().is_none() && !stores.contains(&None) {
        let named = stores.iter().flatten().next();
        let named = named.map_or("NAME", |name| &**name);
        return Err(format!(
            "{text:?} is in no store: all have names here; write \"{named}:{text}\", or add [store] with kind = \"embedded\""
        ));
    }
    Ok(id)
}

fn no_store(text: &str, name: &str, stores: &[StoreName]) -> String {
    let named: Vec<&str> = stores.iter().flatten().map(|name| &**name).collect();
    let end = suggestion(name, named);
    format!("{text:?}: there is no [store.{name}]{end}")
}

fn allowed(text: &str) -> Result<(), String> {
    let name = if text.starts_with("arn:") {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        match parts[..] {
            ["arn", _, "secretsmanager", _, _, "secret", name] => name,
            _ => {
                return Err(format!(
                    "{text:?} is no secret's ARN; it looks like \"arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-XXXXXX\""
                ));
            }
        }
    } else {
        text
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!".contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(plain) {
        return Err(format!(
            "{text:?} is no secret's name; it has 1 to 512 of the letters, the digits and /_+=.@-!"
        ));
    }
    Ok(())
}

/// Permission bits in octal, in quotes, as for chmod.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777 && !text.starts_with('+'))
        .ok_or_else(|| format!("{text:?} is no file mode; write it in octal, like \"0660\""))
}

/// A user or a group, by name or by number.
pub(super) fn user(value: &DeValue<'_>) -> Result<UserRef, String> {
    match value {
        DeValue::String(name) if name.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() => {
            Err(format!("write a numeric user id without quotes: {name}"))
        }
        DeValue::String(name) => nonempty(name).map(UserRef::Name),
        DeValue::Integer(_) => u32::try_from(integer(value)?)
            .map(UserRef::Uid)
            .map_err(|_| "a user id has at most 32 bits".to_owned()),
        _ => Err("write a user's name in quotes, or a user id without".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks() {
        let net = |text: &str| network(text).map(|n| n.to_string());
        assert_eq!(net("10.0.0.0/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("10.1.2.3"), Ok("10.1.2.3/32".into()));
        assert_eq!(net("::1"), Ok("::1/128".into()));
        assert_eq!(net("0.0.0.0/0"), Ok("0.0.0.0/0".into()));
        let e = net("10.0.0.1/8").expect_err("host bits");
        assert!(
            e.contains("\"10.0.0.0/8\"") && e.contains("\"10.0.0.1\""),
            "{e}"
        );
        let e = net("::ffff:10.0.0.0/104").expect_err("mapped");
        assert!(e.contains("\"10.0.0.0/8\""), "{e}");
        assert!(net("10.0.0.0/33").is_err());
        assert!(net("example.com").is_err());
    }

    #[test]
    fn secrets() {
        for text in [
            "prod/orders",
            "a",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/orders-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1",
        ] {
            assert!(secret(text, &[None]).is_ok(), "{text}");
        }
        for text in [
            "",
            "a b",
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager:r:1:secret:",
            "é",
        ] {
            assert!(secret(text, &[None]).is_err(), "{text}");
        }
        assert!(secret(&"a".repeat(513), &[None]).is_err());
    }

    #[test]
    fn a_store_is_named_in_front_of_its_secret() {
        const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf";
        let billing = Some("billing".into());
        let (b, both) = ([billing.clone()], [None, billing]);
        for (text, stores, store, within) in [
            ("billing:prod/a", &both[..], Some("billing"), "prod/a"),
            (&format!("billing:{ARN}"), &both, Some("billing"), ARN),
            (ARN, &both, None, ARN),
            ("billing", &both, None, "billing"),
            ("billing:x", &b, Some("billing"), "x"),
        ] {
            let id = secret(text, stores).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((id.store(), id.within()), (store, within), "{text}");
        }
        for (text, stores, part) in [
            (
                "biling:x",
                &both[..],
                "there is no [store.biling]; did you mean \"billing\"?",
            ),
            ("x", &b, "write \"billing:x\""),
            ("billing:", &both, "is no secret's name"),
            ("billing:b:x", &both, "is no secret's name"),
        ] {
            let why = secret(text, stores).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(mode("0660"), Ok(0o660));
        assert_eq!(mode("600"), Ok(0o600));
        for text in ["", "0888", "1777", "+660", "rw"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (network(&text), secret(&text, &[None]), mode(&text));
        }
    }
}
