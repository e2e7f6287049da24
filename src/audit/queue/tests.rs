//! Who takes records out of the queue, and when.

use super::*;
use crate::audit::Record;

fn entry(done: Option<oneshot::Sender<Result<(), AuditError>>>) -> Entry {
    Entry {
        time: chrono::Utc::now(),
        record: Record::gap("").into(),
        proxy: None,
        done,
    }
}

#[test]
fn what_nobody_waits_for_is_taken_with_the_next_that_somebody_does() {
    let (sender, receiver) = queue();
    let taken = std::thread::spawn(move || {
        let mut sizes = Vec::new();
        let mut batch = Vec::new();
        while receiver.wait() {
            receiver.take(&mut batch);
            sizes.push(batch.len());
            for done in batch.drain(..).filter_map(|e: Entry| e.done) {
                let _ = done.send(Ok(()));
            }
        }
        sizes.iter().sum::<usize>()
    });
    for _ in 0..100 {
        sender.send(entry(None)).expect("room");
        let (done, written) = oneshot::channel();
        sender.send(entry(Some(done))).expect("room");
        sender.hurry();
        written.blocking_recv().expect("taken").expect("written");
    }
    sender.send(entry(None)).expect("room");
    drop(sender);
    assert_eq!(taken.join().expect("no panic"), 201);
}

#[test]
fn a_record_that_nobody_waits_for_does_not_wait_for_ever() {
    let (sender, receiver) = queue();
    let mut batch = Vec::new();
    sender.send(entry(None)).expect("room");
    assert!(receiver.wait());
    receiver.take(&mut batch);
    let later = std::thread::spawn(move || {
        let mut batch = Vec::new();
        let any = receiver.wait();
        receiver.take(&mut batch);
        (any, batch.len())
    });
    // By now the thread dozes or sleeps: either way it has to be woken.
    std::thread::sleep(LINGER * 4);
    sender.send(entry(None)).expect("room");
    assert_eq!(later.join().expect("no panic"), (true, 1));
}

/// The thread is not woken for a record that others are likely to take. When they do
/// not, it takes the record by itself.
#[test]
fn what_others_leave_is_taken_by_the_thread() {
    let (sender, receiver) = queue();
    let thread = std::thread::spawn(move || {
        let mut batch = Vec::new();
        while receiver.wait() {
            receiver.take(&mut batch);
        }
        batch.len()
    });
    let mut here = Vec::new();
    let until = Instant::now() + LINGER * 3;
    while Instant::now() < until {
        sender.send(entry(None)).expect("room");
        sender.take(&mut here);
    }
    sender.send(entry(None)).expect("room");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !sender.0.0.state().entries.is_empty() {
        assert!(Instant::now() < deadline, "nobody takes it");
        std::thread::sleep(LINGER);
    }
    drop(sender);
    assert!(thread.join().expect("no panic") >= 1);
}

#[test]
fn there_is_room_for_so_many_and_none_once_closed() {
    let (sender, receiver) = queue();
    for _ in 0..ROOM {
        sender.send(entry(None)).expect("room");
    }
    assert!(matches!(sender.send(entry(None)), Err(AuditError::Full)));
    drop(receiver);
    assert!(matches!(sender.send(entry(None)), Err(AuditError::Closed)));
}

#[tokio::test]
async fn whoever_closes_hears_of_it_once_all_is_taken_also_twice() {
    let (sender, receiver) = queue();
    sender.send(entry(None)).expect("room");
    let writer = std::thread::spawn(move || {
        let (mut batch, mut taken) = (Vec::new(), 0);
        while receiver.wait() {
            receiver.take(&mut batch);
            taken += batch.drain(..).count();
        }
        taken
    });
    sender.clone().close().await;
    sender.close().await;
    assert_eq!(writer.join().expect("no panic"), 1);
}
