use futures_util::FutureExt;

use super::*;

fn limiter(total: usize, each: usize) -> Arc<Limiter> {
    Arc::new(Limiter::new(total, each))
}

fn origin(last: u8) -> Origin {
    Origin::Address([10, 0, 0, last].into())
}

fn old(limiter: &Arc<Limiter>, origin: Origin) -> Ticket {
    limiter.enter_at(origin, Instant::now() - GRACE)
}

fn gone(ticket: &Ticket) -> bool {
    ticket.evicted().now_or_never().is_some()
}

#[test]
fn the_oldest_of_an_address_gives_way_to_the_newest() {
    let limiter = limiter(100, 2);
    let first = old(&limiter, origin(1));
    let other = old(&limiter, origin(2));
    let second = old(&limiter, origin(1));
    assert!(!gone(&first));
    let third = limiter.enter(origin(1));
    assert!(gone(&first) && !gone(&second) && !gone(&third) && !gone(&other));
    drop(second);
    let fourth = limiter.enter(origin(1));
    assert!(!gone(&third) && !gone(&fourth));
}

#[test]
fn and_the_oldest_of_all_where_there_are_too_many() {
    let limiter = limiter(3, 3);
    let tickets: Vec<Ticket> = (1..=5).map(|n| limiter.enter(origin(n))).collect();
    let gone: Vec<bool> = tickets.iter().map(gone).collect();
    assert_eq!(gone, [true, true, false, false, false]);
    drop(tickets);
    assert!(limiter.state.lock().entries.is_empty() && limiter.state.lock().by_size.is_empty());
}

#[test]
fn a_load_balancer_is_counted_for_its_clients() {
    let limiter = limiter(100, 1);
    let (a, b) = (old(&limiter, Origin::Proxy), old(&limiter, Origin::Proxy));
    assert!(!gone(&a) && !gone(&b));
    a.set_origin(origin(1));
    b.set_origin(origin(2));
    let c = limiter.enter(Origin::Proxy);
    c.set_origin(origin(1));
    assert!(gone(&a) && !gone(&b) && !gone(&c));
}

#[test]
fn who_was_denied_gives_way_before_who_may_be_let_in() {
    let limiter = limiter(100, 2);
    let honest = limiter.enter(origin(1));
    let denied = limiter.enter(origin(1));
    denied.mark_denied();
    let third = limiter.enter(origin(1));
    assert!(gone(&denied) && !gone(&honest) && !gone(&third));
}

#[test]
fn a_burst_of_one_address_is_let_through() {
    let limiter = limiter(100, 2);
    let burst: Vec<Ticket> = (0..50).map(|_| limiter.enter(origin(1))).collect();
    assert!(!burst.iter().any(gone), "none has had its time");
    let heard = old(&limiter, origin(2));
    heard.mark_heard(origin(2));
    let silent = [old(&limiter, origin(2)), old(&limiter, origin(2))];
    let newest = limiter.enter(origin(2));
    assert!(gone(&silent[0]) && !gone(&silent[1]) && !gone(&newest) && !gone(&heard));
    // What is asked anew has to be answered.
    heard.mark_asked();
    assert!(!gone(&heard));
}

#[test]
fn whose_packet_came_at_the_last_moment_stays() {
    let limiter = limiter(3, 1);
    let late = old(&limiter, origin(1));
    let next = old(&limiter, origin(1));
    late.mark_heard(origin(1));
    assert!(!gone(&late) && !gone(&next));
    // If there is room.
    let full: Vec<Ticket> = (2..=5).map(|n| limiter.enter(origin(n))).collect();
    assert!(gone(&next), "the crowd of two is the largest");
    next.mark_heard(origin(1));
    assert!(limiter.state.lock().entries.len() <= 3);
    drop((late, next, full));
    assert!(limiter.state.lock().entries.is_empty());
}

#[test]
fn the_largest_crowd_gives_way_first() {
    let limiter = limiter(6, 6);
    let honest: Vec<Ticket> = (1..=3).map(|n| limiter.enter(origin(n))).collect();
    let flood: Vec<Ticket> = (0..1000).map(|_| limiter.enter(origin(9))).collect();
    assert!(!honest.iter().any(gone));
    assert_eq!(flood.iter().filter(|k| !gone(k)).count(), 3);
    let newcomer = limiter.enter(origin(4));
    assert!(!gone(&newcomer) && !honest.iter().any(gone));
    drop((honest, flood, newcomer));
    let state = limiter.state.lock();
    assert!(state.entries.is_empty() && state.by_origin.is_empty() && state.by_size.is_empty());
}
