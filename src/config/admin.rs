//! `[admin]`: where metrics and status are served.

use super::Admin;
use super::address::{host_port, socket_path};
use super::section::Section;
use crate::admin::AdminAddress;
use crate::net::is_loopback;

pub(super) fn admin(mut s: Section<'_, '_>) -> Admin {
    let address = s.text("address", |text| match text {
        "" => Ok(None),
        text => admin_address(text).map(Some),
    });
    let address = address.flatten();
    let token_file = s.path("token_file");
    if let Some(AdminAddress::Tcp(text)) = &address
        && let Ok((host, _)) = host_port(text)
        && !is_loopback(&host)
        && token_file.is_none()
    {
        s.wrong(format!(
            "address {host} can be reached from other machines, so it needs a token; add token_file = \"FILE\" or use 127.0.0.1"
        ));
    }
    s.finish();
    Admin {
        address,
        token_file,
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    let Some(path) = text.strip_prefix("unix:") else {
        return host_port(text).map(|_| AdminAddress::Tcp(text.to_owned()));
    };
    socket_path(path).map(AdminAddress::Unix)
}
