//! The queue, on sequences of messages and answers.

use super::*;
use crate::pool::{Evicted, Prepared};
use crate::session::relay::from_client::FromClient;

fn replies(entries: Vec<Reply>) -> Replies {
    let mut replies = Replies::default();
    entries.into_iter().for_each(|r| replies.push(r));
    replies
}

#[test]
fn a_failed_batch_is_passed_over_up_to_its_sync() {
    let mut r = replies(vec![
        Reply::Bind(None),
        Reply::Execute(Sets::MAYBE),
        Reply::Query(Sets::MAYBE),
        Reply::Sync,
        Reply::Execute(Sets::MAYBE),
    ]);
    let (failed, open) = r.fail();
    assert_eq!((failed.len(), open), (3, false));
    assert!(matches!(failed[0], Reply::Query(_)));
    assert!(r.take_ready());
    assert!(matches!(r.front(), Some(Reply::Execute(_))));
    let (failed, open) = r.fail();
    assert_eq!((failed.len(), open), (1, true));
}

#[test]
fn the_error_of_a_simple_query_ends_with_its_ready() {
    let mut r = replies(vec![Reply::Query(Sets::MAYBE), Reply::Query(Sets::MAYBE)]);
    assert!(r.fail().0.is_empty());
    assert!(r.take_ready());
    assert!(!r.is_empty());
    assert!(r.take_ready());
    assert!(r.is_empty());
    assert!(!r.take_ready());
}

#[test]
fn what_is_forgotten_is_still_counted() {
    let mut r = replies(vec![
        Reply::Query(Sets::MAYBE),
        Reply::HiddenClose(Some(Evicted { id: 7, number: 7 })),
        Reply::Sync,
    ]);
    assert!(r.change_pending());
    FromClient::default().forget_statements(&mut r, &mut Prepared::with_limit(3));
    while r.pop().is_some() {}
    r.push(Reply::Sync);
    assert!(!r.change_pending() && !r.unnamed_pending());
}

#[test]
fn a_sync_inside_copy_data_has_no_answer() {
    // libpq: Parse Bind Execute Sync, then data, CopyDone, Sync.
    let mut r = replies(vec![Reply::Execute(Sets::MAYBE), Reply::Sync]);
    r.copy_in();
    r.push(Reply::Sync);
    r.push(Reply::CopyEnd);
    r.push(Reply::Sync);
    assert!(matches!(r.pop(), Some(Reply::Execute(_))));
    assert!(r.take_ready());
    assert!(r.is_empty());
}

/// The second one takes data as the first did, and a Sync in them is ignored.
#[test]
fn one_query_copies_twice() {
    let mut r = replies(vec![Reply::Query(Sets::MAYBE)]);
    r.copy_in();
    r.push(Reply::CopyEnd);
    r.push(Reply::Sync);
    r.copy_in();
    assert!(r.is_copying_in());
    r.push(Reply::Sync);
    r.push(Reply::CopyEnd);
    assert!(r.take_ready() && r.is_empty());
}

#[test]
fn a_pipelined_copy_keeps_the_sync_behind_its_data() {
    let mut r = replies(vec![Reply::Query(Sets::MAYBE), Reply::CopyEnd, Reply::Sync]);
    r.copy_in();
    assert!(r.take_ready());
    assert!(r.take_ready());
    assert!(r.is_empty());
}
