//! `[listen]` and `[admin]`.

use std::path::PathBuf;

use super::*;

#[test]
fn listener_tls() {
    let listen = |keys: &str| format!("[listen]\n{keys}\n{MINIMAL}");
    let (certificate, key) = (PathBuf::from("c.pem"), PathBuf::from("k.pem"));
    let pair = "certificate = \"c.pem\"\nkey = \"k.pem\"\n";
    assert_eq!(
        valid(&listen(pair)).listen.tls,
        ListenTls::Allow {
            certificate: certificate.clone(),
            key: key.clone()
        }
    );
    assert_eq!(
        valid(&listen(&format!("{pair}tls = \"require\"")))
            .listen
            .tls,
        ListenTls::Require { certificate, key }
    );
    assert_eq!(
        valid(&listen(&format!("{pair}tls = \"off\""))).listen.tls,
        ListenTls::Off
    );
    says(&listen("tls = \"require\""), &["tls needs a certificate"]);
    says(&listen("certificate = \"c\""), &["needs its private key"]);
    says(&listen("key = \"c\""), &["needs its certificate"]);
    says(
        &listen("tls = \"on\""),
        &["2:7: tls: \"on\" is not possible; write \"off\", \"allow\" or \"require\""],
    );
    says(&listen("address = [\"h:1\", \"h:1\"]"), &["stands twice"]);
    says(
        &listen("address = []"),
        &["2:11: address: the list is empty"],
    );
}

#[test]
fn the_admin_listener_needs_a_token_off_loopback() {
    let admin = |keys: &str| format!("[admin]\n{keys}\n{MINIMAL}");
    says(
        &admin("address = \"0.0.0.0:6433\""),
        &["[admin]", "token_file"],
    );
    says(&admin("address = \"6433\""), &["is no address"]);
    assert_eq!(valid(&admin("address = \"\"")).admin.address, None);
    let unix = valid(&admin("address = \"unix:/run/pgvalet/admin.sock\""));
    let path = "/run/pgvalet/admin.sock".into();
    assert_eq!(unix.admin.address, Some(AdminAddress::Unix(path)));
    for path in ["", "run/admin.sock", "/run/"] {
        let text = format!("address = \"unix:{path}\"");
        says(&admin(&text), &["is no path of a socket"]);
    }
    let long = format!("address = \"unix:/{}\"", "d".repeat(107));
    says(&admin(&long), &["shorter"]);
    for fine in [
        "address = \"[::1]:1\"",
        "address = \"localhost:1\"",
        "address = \"0.0.0.0:1\"\ntoken_file = \"t\"",
    ] {
        valid(&admin(fine));
    }
}

/// Other programs write `*` for all addresses; the name service would say that it knows no `*`.
#[test]
fn a_star_is_no_address() {
    for (table, port) in [("listen", 6432), ("admin", 6433), ("store", 6434)] {
        let said = format!("[{table}]\naddress = \"*:{port}\"\n{MINIMAL}");
        says(
            &said,
            &[
                "address: \"*",
                &format!("write \"0.0.0.0:{port}\" for all addresses"),
            ],
        );
    }
}
