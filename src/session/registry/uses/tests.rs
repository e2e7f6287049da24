//! What sessions are told to have done.

use super::*;

fn credential(version: &str) -> CredentialRef {
    CredentialRef {
        secret: "s".into(),
        arn: "a".into(),
        version: version.into(),
        stages: Vec::new(),
        user: "u".into(),
    }
}

fn traffic(transactions: u64, received: u64, sent: u64) -> Traffic {
    Traffic {
        transactions,
        received,
        sent,
    }
}

#[test]
fn each_version_has_what_passed_while_it_was_used() {
    let mut uses = Uses::default();
    uses.begin(1, credential("one"), 1);
    uses.lease(1, 10, 1_000);
    uses.count(traffic(2, 20, 200), 2_000);
    uses.end();
    uses.begin(2, credential("two"), 2);
    uses.lease(2, 11, 3_000);
    uses.count(traffic(3, 30, 300), 4_000);
    uses.end();
    uses.lease(1, 10, 5_000);
    uses.lease(1, 12, 5_000);
    let told = uses.take();
    let shape: Vec<_> = told
        .iter()
        .map(|u| {
            let out = u.bytes_out.unwrap_or_default();
            let transactions = u.transactions.unwrap_or_default();
            (&*u.version, u.leases, transactions, out, u.pids.clone())
        })
        .collect();
    let expected = [
        ("one", 3, 2, 200, vec![10, 12]),
        ("two", 1, 1, 100, vec![11]),
    ];
    assert_eq!(shape, expected);
    assert_eq!(told[0].first, "1970-01-01T00:00:01Z");
    assert_eq!(told[0].last, "1970-01-01T00:00:05Z");
    assert!(uses.take().is_empty(), "told once");
    // The lease that goes on is told of again when it was used.
    uses.count(traffic(4, 40, 400), 6_000);
    let told = uses.take();
    assert_eq!(
        (told.len(), told[0].leases, told[0].transactions),
        (1, 0, Some(1))
    );
    assert_eq!(told[0].pids, [12]);
}

/// A session with one version, which is most of them.
#[test]
fn an_end_leaves_out_what_other_records_say() {
    let all = traffic(2, 20, 200);
    let end = |pids: &[i32], all: Traffic| {
        let mut uses = Uses::default();
        uses.begin(1, credential("one"), 1);
        for pid in pids {
            uses.lease(1, *pid, 1_000);
            uses.count(traffic(2, 20, 200), 2_000);
            uses.end();
        }
        let told = uses.finish(all);
        serde_json::to_string(&told[0]).expect("JSON")
    };
    let last = "\"last\":\"1970-01-01T00:00:02Z\"";
    assert_eq!(end(&[7], all), format!("{{\"leases\":1,{last}}}"));
    let of = "\"transactions\":2,\"bytes_in\":20,\"bytes_out\":200";
    let more = traffic(3, 30, 300);
    assert_eq!(end(&[7], more), format!("{{\"leases\":1,{of},{last}}}"));
    let last = "\"last\":\"1970-01-01T00:00:01Z\"";
    assert_eq!(
        end(&[7, 8], all),
        format!("{{\"leases\":2,{last},\"pids\":[7,8]}}")
    );
}

#[test]
fn processes_are_named_up_to_a_limit() {
    let mut uses = Uses::default();
    uses.begin(1, credential("one"), 1);
    for pid in 0..100 {
        uses.lease(1, pid, 1);
    }
    let told = uses.take();
    assert_eq!((told[0].pids.len(), told[0].other_pids), (64, 36));
}
