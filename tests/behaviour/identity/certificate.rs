//! Clients known by their certificates.

use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose;

use crate::common::pki::{DAY, Pki};
use crate::common::programs;
use crate::common::setup::proxy_by_certificate;
use crate::common::tls::{Secure, config};
use crate::common::{Cluster, Proxy, eventually};

const HOUR: Duration = Duration::from_secs(3600);

fn psql(proxy: &Proxy, database: &str, more: &str) -> (bool, String) {
    programs::psql(&format!("{} {more}", proxy.dsn(database)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_opens_what_its_name_may_and_a_bad_one_nothing() {
    let cluster = Cluster::start().await;
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let orders = pki.client("spiffe://example.org/orders", DAY);
    let by_dns = pki.client("dns:orders.example.org", DAY);
    let by_cn = pki.client("cn:orders", DAY);
    let revoked = pki.client("spiffe://example.org/orders", DAY);
    pki.revoke(&[&revoked]);
    let proxy = proxy_by_certificate(&cluster, &pki).await;

    for (database, certificate) in [("spiffe", &orders), ("dns", &by_dns), ("cn", &by_cn)] {
        let (works, said) = psql(&proxy, database, &certificate.dsn());
        assert!(works && said == "app_user", "{database}: {said}");
    }
    let started = proxy.audit_seen("session.start").await;
    let identity = &started[0]["identity"];
    assert_eq!(identity["method"], "certificate");
    assert_eq!(identity["subject"], "spiffe://example.org/orders");
    assert_eq!(identity["cert_sha256"].as_str().map(str::len), Some(64));
    assert!(
        identity["issuer"]
            .as_str()
            .is_some_and(|i| i.contains("CN=CA"))
    );

    // A good certificate of another name, and none: the answer of every denial.
    for (database, more) in [
        ("spiffe", by_dns.dsn()),
        ("dns", by_cn.dsn()),
        ("cn", orders.dsn()),
        ("spiffe", "sslmode=require".to_owned()),
        ("spiffe", "sslmode=disable".to_owned()),
    ] {
        let (works, said) = psql(&proxy, database, &more);
        assert!(
            !works && said.contains("access denied"),
            "{database}: {said}"
        );
    }

    // A certificate that is not accepted ends the handshake: also where a rule
    // would have let the client in without one.
    let now = SystemTime::now();
    let expired = pki.certificate("spiffe://example.org/orders", now - HOUR, |_| {});
    let early = pki.certificate("spiffe://example.org/orders", now + DAY, |p| {
        p.not_before = (now + HOUR).into();
    });
    let purpose = pki.certificate("spiffe://example.org/orders", now + DAY, |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let forged = elsewhere.client("spiffe://example.org/orders", DAY);
    for (certificate, reason) in [
        (&expired, "certificate_expired"),
        (&early, "certificate_not_yet_valid"),
        (&purpose, "certificate_wrong_purpose"),
        (&forged, "certificate_unknown_issuer"),
        (&revoked, "certificate_revoked"),
    ] {
        for database in ["spiffe", "open"] {
            let (works, said) = psql(&proxy, database, &certificate.dsn());
            assert!(!works && !said.contains("app_user"), "{reason}: {said}");
        }
        let denied = eventually("a record", Duration::from_secs(5), || async {
            let denied = proxy.audit_of("session.deny");
            let of_it: Vec<_> = denied
                .into_iter()
                .filter(|r| r["reason"] == reason)
                .collect();
            (of_it.len() == 2).then_some(of_it)
        })
        .await;
        assert!(denied.iter().all(|r| r["source"].is_string()), "{denied:?}");
    }
    assert!(psql(&proxy, "open", "sslmode=require").0);
}

/// The end of a certificate is the end of its sessions, between transactions;
/// nobody else notices that the list was read again.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_certificate() {
    let cluster = Cluster::start().await;
    let pki = Pki::new();
    let stays = pki.client("spiffe://example.org/orders", DAY);
    let (idle, busy) = (pki.client("cn:orders", DAY), pki.client("cn:orders", DAY));
    let proxy = proxy_by_certificate(&cluster, &pki).await;
    let connect = async |certificate, database| {
        Secure::connect(&proxy, &config(Some(certificate)), database)
            .await
            .unwrap_or_else(|e| panic!("{database}: {e}"))
    };
    let brief = pki.client("dns:orders.example.org", Duration::from_secs(6));
    let mut brief = connect(&brief, "dns").await;
    let mut stays = connect(&stays, "spiffe").await;
    let mut in_transaction = connect(&busy, "cn").await;
    let idle_config = config(Some(&idle));
    let mut resting = Secure::connect(&proxy, &idle_config, "cn")
        .await
        .expect("let in");
    in_transaction.ask("begin").await.expect("begun");
    // The second connection resumes the first one's TLS session.
    let second = Secure::connect(&proxy, &idle_config, "cn")
        .await
        .expect("let in");
    assert!(second.resumed(), "the next check would prove nothing");
    drop(second);

    pki.revoke(&[&idle, &busy]);
    let said = resting.last_words().await;
    assert!(
        said.contains("57P01") && said.contains("its access has ended"),
        "{said}"
    );
    // Not inside a transaction; but when it is over.
    in_transaction.ask("select 1").await.expect("goes on");
    in_transaction.ask("commit").await.expect("commits");
    let said = in_transaction.last_words().await;
    assert!(said.contains("57P01"), "{said}");
    // Nor is there a way around by a session that is resumed.
    let again = Secure::connect(&proxy, &idle_config, "cn").await;
    assert!(again.is_err(), "a revoked certificate came back");

    let said = brief.last_words().await;
    assert!(said.contains("57P01"), "{said}");
    stays.ask("select 1").await.expect("undisturbed");
    let reasons = eventually("records", Duration::from_secs(5), || async {
        let ended = proxy.audit_of("session.end");
        let mut reasons: Vec<String> = ended
            .iter()
            .filter_map(|r| Some(r["reason"].as_str()?.rsplit(": ").next()?.to_owned()))
            .collect();
        reasons.sort();
        (reasons.len() == 3).then_some(reasons)
    })
    .await;
    assert_eq!(
        reasons,
        [
            "certificate_expired",
            "certificate_revoked",
            "certificate_revoked"
        ]
    );

    // A list that cannot be read changes nothing, and the next good one counts.
    std::fs::write(pki.crl(), "nonsense").expect("written");
    eventually("a warning", Duration::from_secs(5), || async {
        proxy
            .log()
            .contains("what was read before stays in force")
            .then_some(())
    })
    .await;
    let mut still = connect(&pki.client("cn:orders", DAY), "cn").await;
    still.ask("select 1").await.expect("let in");
    pki.revoke(&[]);
    eventually("a reload", Duration::from_secs(5), || async {
        Secure::connect(&proxy, &idle_config, "cn").await.ok()
    })
    .await;
}
