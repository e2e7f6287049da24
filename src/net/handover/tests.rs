use std::net::TcpListener;

use super::*;

fn pair() -> ((Sender, Receiver), (Sender, Receiver)) {
    let (a, b) = StdStream::pair().expect("a pair");
    (open(a).expect("opened"), open(b).expect("opened"))
}

#[tokio::test]
async fn a_descriptor_arrives_with_its_message() {
    let ((sender, _), (_, mut receiver)) = pair();
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("bound"));
    let [first, second, third] = listeners;
    let address = |l: &TcpListener| l.local_addr().expect("an address");
    let expected = [&first, &second, &third].map(address);
    // Longer than what a socket takes at once.
    let long = "x".repeat(1 << 20);
    sender.send(&"none", vec![]).expect("sent");
    sender
        .send(&long, vec![first.into(), second.into()])
        .expect("sent");
    sender.send(&"one", vec![third.into()]).expect("sent");
    let mut found = Vec::new();
    for text in ["none", &long, "one"] {
        let message = receiver.receive::<String>().await.expect("received");
        let (message, descriptors) = message.expect("one");
        assert_eq!(message, text);
        found.extend(
            descriptors
                .into_iter()
                .map(|d| address(&TcpListener::from(d))),
        );
    }
    assert_eq!(found, expected);
    assert!(sender.flush().await);
    drop(sender);
    let end = receiver.receive::<String>().await.expect("no error");
    assert!(end.is_none());
}

#[tokio::test]
async fn what_is_cut_off_or_nonsense_is_an_error() {
    for (bytes, what) in [
        (&b"\0\0\0\x09\0\"cut off"[..], "cut off"),
        (b"\0\0\0\x03\0abc", "no JSON"),
        (b"\0\0\0\x03\x01\"a\"", "without its descriptor"),
        (b"\xff\xff\xff\xff\0", "too long"),
    ] {
        let (a, b) = StdStream::pair().expect("a pair");
        (&a).write_all(bytes).expect("written");
        drop(a);
        let (_, mut receiver) = open(b).expect("opened");
        assert!(receiver.receive::<String>().await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_message_is_written_without_a_runtime() {
    let (a, b) = StdStream::pair().expect("a pair");
    write_now(&a, &"failed").expect("written");
    let (_, mut receiver) = open(b).expect("opened");
    let message = receiver.receive::<String>().await.expect("received");
    assert_eq!(message.expect("one").0, "failed");
}
