//! The endpoints of STS: the only addresses that pgvalet sends a client's request to.

use hyper::Uri;

use super::Sts;

/// Whether the address is an endpoint of STS: the one that the configuration names,
/// or else the global or a regional endpoint of AWS
/// (<https://docs.aws.amazon.com/general/latest/gr/sts.html>).
pub(super) fn is_endpoint(uri: &Uri, sts: &Sts) -> bool {
    if uri.path() != "/" {
        return false;
    }
    if let Some(endpoint) = &sts.endpoint {
        return uri.scheme() == endpoint.scheme() && uri.authority() == endpoint.authority();
    }
    // The whole authority, so that it has neither a port nor a user.
    let Some(authority) = uri.authority().map(hyper::http::uri::Authority::as_str) else {
        return false;
    };
    let Some(rest) = authority.strip_prefix("sts.") else {
        return false;
    };
    let regional = || {
        let (region, domain) = rest.split_once('.')?;
        Some(is_region(region, domain))
    };
    uri.scheme_str() == Some("https") && (rest == "amazonaws.com" || regional() == Some(true))
}

/// Whether a region can be one of the partition that has this domain: AWS with its
/// GovCloud, China, the European Sovereign Cloud. Any other name below the domain
/// belongs to something else, such as a bucket or a load balancer.
fn is_region(region: &str, domain: &str) -> bool {
    const AREAS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];
    const SIDES: [&str; 9] = [
        "north",
        "south",
        "east",
        "west",
        "central",
        "northeast",
        "northwest",
        "southeast",
        "southwest",
    ];
    let parts: Vec<&str> = region.split('-').collect();
    let [area @ .., side, number] = &parts[..] else {
        return false;
    };
    let area = match (domain, area) {
        ("amazonaws.com", [area]) => AREAS.contains(area),
        ("amazonaws.com", ["us", "gov"]) => true,
        ("amazonaws.com.cn", ["cn"]) => true,
        ("amazonaws.eu", ["eusc", "de"]) => true,
        _ => false,
    };
    let number = matches!(
        number.as_bytes(),
        [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']
    );
    area && SIDES.contains(side) && number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the address as that of a whole request is read: what is no address is refused too.
    fn accepted(address: &str, endpoint: Option<Uri>) -> bool {
        let audience = "pgvalet".to_owned();
        let sts = Sts { audience, endpoint };
        let uri = format!("{address}?Action=GetCallerIdentity").parse();
        uri.is_ok_and(|uri| is_endpoint(&uri, &sts))
    }

    fn is_aws(address: &str) -> bool {
        accepted(address, None)
    }

    #[test]
    fn sts_and_nobody_else_is_asked() {
        for host in [
            "sts.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "sts.ap-southeast-7.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
            "sts.cn-north-1.amazonaws.com.cn",
            "sts.eusc-de-east-1.amazonaws.eu",
        ] {
            assert!(is_aws(&format!("https://{host}/")), "{host}");
        }
        for address in [
            "http://sts.amazonaws.com/",
            "https://sts.amazonaws.com:8443/",
            "https://sts.amazonaws.com/latest/",
            "https://sts.amazonaws.com.attacker.example/",
            "https://attacker.example/",
            "https://sts.attacker.example#.amazonaws.com/",
            "https://user@sts.amazonaws.com/",
            "https://sts.x.y.amazonaws.com/",
            "https://sts.amazonaws.com@attacker.example/",
            "https://169.254.169.254/",
            "https://sts..amazonaws.com/",
            // No regions, or of another partition.
            "https://sts.s3.amazonaws.com/",
            "https://sts.evil.amazonaws.com/",
            "https://sts.my-bucket-1.amazonaws.com/",
            "https://sts.eu-west.amazonaws.com/",
            "https://sts.eu-west-0.amazonaws.com/",
            "https://sts.eu-west-100.amazonaws.com/",
            "https://sts.eu-west-1a.amazonaws.com/",
            "https://sts.EU-WEST-1.amazonaws.com/",
            "https://sts.xx-west-1.amazonaws.com/",
            "https://sts.eu-best-1.amazonaws.com/",
            "https://sts.us-gov-gov-west-1.amazonaws.com/",
            "https://sts.-west-1.amazonaws.com/",
            "https://sts.cn-north-1.amazonaws.com/",
            "https://sts.eu-west-1.amazonaws.com.cn/",
            "https://sts.eu-west-1.amazonaws.eu/",
            "https://sts.amazonaws.com.cn/",
            "https://sts.eu-west-1.elb.amazonaws.com/",
            "https://sts.eu-west-1.amazonaws.com./",
        ] {
            assert!(!is_aws(address), "{address}");
        }
        let own = |address: &str| {
            let endpoint = "http://127.0.0.1:5000/".parse().unwrap();
            accepted(address, Some(endpoint))
        };
        assert!(own("http://127.0.0.1:5000/"));
        assert!(!own("http://127.0.0.1:5001/"));
        assert!(!own("https://sts.amazonaws.com/"));
    }
}
