//! Words of the start-up packet, in every disguise: a client that may use `orders`
//! reaches `orders` as the role in its secret, or nothing.

use futures_util::future::join_all;

use crate::common::raw::{Message, Raw, query, sqlstate, start_up};
use crate::common::{Cluster, Proxy, new_password};

const ROLE: &str = "replicator";

async fn world() -> (Cluster, Proxy) {
    let mut cluster = Cluster::start().await;
    cluster.restart_with(&[("wal_level", "logical")]).await;
    let password = new_password();
    cluster.create_role(ROLE, &password).await;
    cluster.create_role("other", &password).await;
    for sql in [
        "ALTER ROLE replicator REPLICATION",
        "GRANT other TO replicator",
        "CREATE DATABASE orders",
        "CREATE DATABASE billing",
    ] {
        cluster.execute(sql).await;
    }
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret(ROLE, &password))
        .database("orders", "secret = \"app\"\ndbname = \"orders\"")
        .database("billing", "secret = \"app\"\ndbname = \"billing\"")
        .client("name = \"api\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"orders\"]")
        .listen("denials_per_second = 1000")
        .start()
        .await;
    (cluster, proxy)
}

/// The user and database of the session, or the SQLSTATE of its refusal.
async fn start(proxy: &Proxy, parameters: &[(&str, &str)]) -> Result<String, String> {
    let mut raw = Raw::open(proxy).await;
    raw.send(&start_up(0x0003_0000, parameters)).await;
    let mut hello: Vec<Message> = Vec::new();
    loop {
        let (tag, body) = raw.one().await;
        hello.push((tag, body));
        match tag {
            b'E' => return Err(sqlstate(&hello).unwrap_or_default()),
            b'Z' => break,
            _ => {}
        }
    }
    let sql = "select current_database() || ' ' || session_user || ' ' || current_user";
    let answer = raw.ask(&query(sql)).await;
    let row = answer.iter().find(|(tag, _)| *tag == b'D');
    let (_, row) = row.unwrap_or_else(|| panic!("no row: {answer:?}"));
    Ok(String::from_utf8_lossy(&row[6..]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_start_up_packet_leads_elsewhere() {
    let (_cluster, proxy) = world().await;
    let here = "orders replicator replicator";
    let honest = [("user", "anyone"), ("database", "orders")];
    let replicating = [honest[0], honest[1], ("replication", "database")];
    assert_eq!(start(&proxy, &honest).await.as_deref(), Ok(here));
    assert_eq!(start(&proxy, &replicating).await.as_deref(), Ok(here));

    let mut disguised: Vec<Vec<(String, String)>> = Vec::new();
    let owned = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    for (word, value) in [
        ("user", "postgres"),
        ("database", "billing"),
        ("replication", "off"),
        ("options", "-c role=other"),
        ("role", "other"),
        ("session_authorization", "other"),
        ("_pq_.x", "on"),
    ] {
        let capital = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
        for name in [capital, word.to_uppercase()] {
            let first = owned(&name, value);
            // Capital letters count for nothing in `_pq_`, and are no letters.
            if name != word {
                disguised.push(vec![first]);
            }
        }
        let switches = [
            format!("-c {word}={}", value.replace(' ', "\\ ")),
            format!("-c{}={}", word.to_uppercase(), value.replace(' ', "\\ ")),
            format!("--{}={}", word.replace('_', "-"), value.replace(' ', "\\ ")),
            format!(
                "-c work_mem=4MB\x0b-c\x0b\\{word}={}",
                value.replace(' ', "\\ ")
            ),
        ];
        for switches in switches {
            disguised.push(vec![owned("options", &switches)]);
        }
    }
    // Twice, and as it was shown on the released program.
    for name in ["role", "session_authorization"] {
        disguised.push(vec![owned(name, "other")]);
    }
    disguised.push(vec![owned("database", "billing")]);
    disguised.push(vec![owned("user", "postgres")]);
    disguised.push(vec![
        owned("options", ""),
        owned("options", "-c role=other"),
    ]);
    disguised.push(vec![
        owned("Database", "billing"),
        owned("Replication", "off"),
    ]);
    disguised.push(vec![owned(
        "options",
        "-c Database=billing -c Replication=off -c User=postgres",
    )]);
    disguised.push(vec![owned("options", r"-c options=-c\ role=other")]);
    disguised.push(vec![owned("options", r"-c options=-c\\\ role=other")]);
    disguised.push(vec![owned("options", "-c role=other\\")]);

    let mut packets: Vec<Vec<(&str, &str)>> = Vec::new();
    for honest in [&honest[..], &replicating] {
        for more in &disguised {
            let mut parameters: Vec<(&str, &str)> = honest.to_vec();
            parameters.extend(more.iter().map(|(n, v)| (&**n, &**v)));
            packets.push(parameters.clone());
            parameters.reverse();
            packets.push(parameters);
        }
    }
    let mut answers = Vec::new();
    for some in packets.chunks(50) {
        let all = join_all(some.iter().map(|p| start(&proxy, p))).await;
        answers.extend(some.iter().zip(all));
    }
    for (parameters, got) in &answers {
        assert!(got.is_err(), "{parameters:?} was let in: {got:?}");
    }
    for (parameters, got) in &answers {
        let refused = got.as_ref().is_err_and(|e| e == "22023" || e == "08P01");
        assert!(refused, "{parameters:?}: {got:?}");
    }
    // A value is a value, whatever stands in it.
    let name = r"x' database=billing -c role=other \";
    for (name, value) in [
        ("application_name", name),
        ("options", r"-c application_name=x\ -c\ role=other"),
        ("search_path", "database, role"),
    ] {
        let mut parameters = replicating.to_vec();
        parameters.push((name, value));
        assert_eq!(start(&proxy, &parameters).await.as_deref(), Ok(here));
    }
}
