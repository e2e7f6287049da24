//! SQL's DEALLOCATE of a statement that the client has made by Parse: drivers
//! (pgx 4, psycopg) give up their statements like this.

use crate::common::Cluster;
use crate::common::raw::{Message, Raw, message, parse, query, run, sqlstate, sync, tags};
use crate::common::setup::proxy;

/// The tag of the first command.
fn command(messages: &[Message]) -> String {
    let done = messages.iter().find(|(tag, _)| *tag == b'C');
    let (_, body) = done.unwrap_or_else(|| panic!("no command was completed: {messages:?}"));
    String::from_utf8_lossy(body)
        .trim_end_matches('\0')
        .to_owned()
}

async fn parsed(client: &mut Raw, name: &str, sql: &str) {
    let answer = client.ask(&[parse(name, sql), sync()].concat()).await;
    assert_eq!(tags(&answer), "1Z", "{name}: {answer:?}");
}

async fn runs(client: &mut Raw, name: &str) -> Option<String> {
    let answer = client.ask(&[run(name), sync()].concat()).await;
    sqlstate(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parsed_statement_is_given_up_by_its_name() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        // Session mode has no connection for the other one otherwise.
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 2")).await;
        let (mut client, mut other) = (Raw::connect(&proxy).await, Raw::connect(&proxy).await);
        parsed(&mut other, "theirs", "select 1").await;
        for (name, deallocate) in [
            ("a", "deallocate a"),
            ("a", "DEALLOCATE PREPARE A;"),
            ("A b", "deallocate \"A b\""),
            ("a", "/* driver */ deallocate -- it\n a ;\n"),
        ] {
            // Simply, and by Parse, Bind, Execute.
            let by_protocol = [parse("", deallocate), run(""), sync()].concat();
            for (message, answered) in [(query(deallocate), "CZ"), (by_protocol, "12CZ")] {
                parsed(&mut client, name, "select 1").await;
                assert_eq!(runs(&mut client, name).await, None);
                let answer = client.ask(&message).await;
                assert_eq!(tags(&answer), answered, "{mode}: {deallocate}: {answer:?}");
                assert_eq!(command(&answer), "DEALLOCATE");
                let gone = runs(&mut client, name).await;
                assert_eq!(gone.as_deref(), Some("26000"), "{mode}: {deallocate}");
                // Of the same text, and another client's.
                assert_eq!(runs(&mut other, "theirs").await, None);
                let again = client.ask(&message).await;
                assert_eq!(sqlstate(&again).as_deref(), Some("26000"));
            }
        }
        // One that others have prepared is none of the client's business.
        let theirs = client.ask(&query("deallocate theirs")).await;
        assert_eq!(sqlstate(&theirs).as_deref(), Some("26000"));
        assert_eq!(runs(&mut other, "theirs").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_gives_up_nothing() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let mut client = Raw::connect(&proxy).await;
        parsed(&mut client, "a", "select 1").await;
        client.ask(&query("begin")).await;
        client.ask(&query("select 1/0")).await;
        for message in [
            query("deallocate a"),
            [parse("", "deallocate a"), run(""), sync()].concat(),
        ] {
            let refused = client.ask(&message).await;
            assert_eq!(sqlstate(&refused).as_deref(), Some("25P02"), "{mode}");
        }
        client.ask(&query("rollback")).await;
        assert_eq!(runs(&mut client, "a").await, None, "{mode}");

        // Behind an error in its batch it does not happen.
        let passed_over = [
            parse("", "selekt"),
            parse("d", "deallocate a"),
            run("d"),
            sync(),
        ];
        let answer = client.ask(&passed_over.concat()).await;
        assert_eq!(sqlstate(&answer).as_deref(), Some("42601"), "{mode}");
        assert_eq!(runs(&mut client, "a").await, None, "{mode}");
        // A ROLLBACK does not bring it back, as on Postgres.
        client.ask(&query("begin")).await;
        assert_eq!(
            command(&client.ask(&query("deallocate a")).await),
            "DEALLOCATE"
        );
        client.ask(&query("rollback")).await;
        let gone = runs(&mut client, "a").await;
        assert_eq!(gone.as_deref(), Some("26000"), "{mode}");
    }
}

/// Statements that SQL prepared are the server's, and SQL gives them up.
#[tokio::test(flavor = "multi_thread")]
async fn one_prepared_by_sql_is_the_servers() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&query("prepare p as select 1")).await;
    parsed(&mut client, "q", "select 2").await;
    assert_eq!(
        command(&client.ask(&query("deallocate q")).await),
        "DEALLOCATE"
    );
    assert_eq!(command(&client.ask(&query("execute p")).await), "SELECT 1");
    assert_eq!(
        command(&client.ask(&query("deallocate p")).await),
        "DEALLOCATE"
    );
    let gone = client.ask(&query("execute p")).await;
    assert_eq!(sqlstate(&gone).as_deref(), Some("26000"));
}

/// Names that portals deallocate are kept for their Execute, but not without end;
/// the connection lives, and the statement too.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_wait_for_their_execute() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    parsed(&mut client, "a", "select 1").await;
    parsed(&mut client, "d", "deallocate a").await;
    let bind = |n: usize| message(b'B', format!("p{n}\0d\0\0\0\0\0\0\0").as_bytes());
    let execute = |n: usize| message(b'E', format!("p{n}\0\0\0\0\0").as_bytes());
    let mut batch: Vec<u8> = (0..100).flat_map(bind).collect();
    batch.extend([execute(99), sync()].concat());
    let answer = client.ask(&batch).await;
    assert_eq!(sqlstate(&answer).as_deref(), Some("26000"), "{answer:?}");
    assert_eq!(runs(&mut client, "a").await, None);
    let mut batch: Vec<u8> = (0..50).flat_map(bind).collect();
    batch.extend([execute(49), sync()].concat());
    let answer = client.ask(&batch).await;
    assert_eq!(command(&answer), "DEALLOCATE");
    let gone = runs(&mut client, "a").await;
    assert_eq!(gone.as_deref(), Some("26000"));
}
