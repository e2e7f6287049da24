//! Who waits for a connection, and whose turn it is.
//!
//! Each identity has a line of its own. Clients of one identity are served in the order in
//! which they came. Between identities, one that has fewer connections than another gets
//! the next; otherwise a connection stays with the identity that used it last, which saves
//! the cleaning, as long as nobody waits much longer for that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::CheckoutError;
use super::lease::Lease;
use super::owners::{Owner, Shares};

/// What a client that waits for a connection gets.
pub type Delivery = Result<Lease, CheckoutError>;

/// A client that waits for a connection.
pub(super) struct Waiter {
    pub delivery: oneshot::Sender<Delivery>,
    pub since: Instant,
    /// The identity of the client; `None` for pgvalet itself.
    pub client: Option<Arc<str>>,
}

/// A connection stays with its identity as long as the first in the queue has waited no
/// longer than twice as long as the first of that identity, and this much more.
const PATIENCE: Duration = Duration::from_millis(5);

#[derive(Default)]
pub(super) struct Queue {
    /// The lines, one for each identity that waits: as many as rules at most.
    lines: Vec<Line>,
    /// Numbers in the order of arrival; one who is put first gets a negative one.
    last: i64,
    first: i64,
}

struct Line {
    client: Option<Arc<str>>,
    /// Never empty.
    waiting: VecDeque<(i64, Waiter)>,
}

impl Line {
    /// The time at which the first of the line came, as a number.
    fn number(&self) -> i64 {
        self.waiting.front().map_or(i64::MAX, |(number, _)| *number)
    }

    fn waited(&self) -> Duration {
        let first = self.waiting.front();
        first.map_or(Duration::ZERO, |(_, waiter)| waiter.since.elapsed())
    }
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn len(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// The time since which the first has waited.
    pub fn since(&self) -> Option<Instant> {
        let first = self.lines.iter().min_by_key(|line| line.number())?;
        first.waiting.front().map(|(_, waiter)| waiter.since)
    }

    pub fn push_back(&mut self, waiter: Waiter) {
        self.last += 1;
        let number = self.last;
        self.line(&waiter.client)
            .waiting
            .push_back((number, waiter));
    }

    pub fn push_front(&mut self, waiter: Waiter) {
        self.first -= 1;
        let number = self.first;
        self.line(&waiter.client)
            .waiting
            .push_front((number, waiter));
    }

    fn line(&mut self, client: &Option<Arc<str>>) -> &mut Line {
        let at = self.lines.iter().position(|line| line.client == *client);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line {
                client: client.clone(),
                waiting: VecDeque::new(),
            });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// Forgets the clients that have left.
    pub fn forget_gone(&mut self) {
        for line in &mut self.lines {
            line.waiting.retain(|(_, w)| !w.delivery.is_closed());
        }
        self.lines.retain(|line| !line.waiting.is_empty());
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        let lines = std::mem::take(&mut self.lines);
        let waiting = lines.into_iter().flat_map(|line| line.waiting);
        waiting.map(|(_, waiter)| waiter)
    }

    /// The first of a line, which [`turn`](Self::turn) has named.
    pub fn first_of(&self, line: usize) -> Option<&Waiter> {
        let (_, waiter) = self.lines.get(line)?.waiting.front()?;
        Some(waiter)
    }

    pub fn take(&mut self, line: usize) -> Option<Waiter> {
        let waiting = &mut self.lines.get_mut(line)?.waiting;
        let (_, waiter) = waiting.pop_front()?;
        if waiting.is_empty() {
            self.lines.swap_remove(line);
        }
        Some(waiter)
    }

    /// The line whose first gets a connection. `owner`: the identity that has used the
    /// connection, where it has to be cleaned for others.
    pub fn turn(&self, owner: Option<&Owner>, shares: &Shares) -> Option<usize> {
        if self.lines.len() <= 1 {
            return (!self.lines.is_empty()).then_some(0);
        }
        let lines = || self.lines.iter().enumerate();
        let (first, line) = lines().min_by_key(|(_, line)| line.number())?;
        let own = owner.and_then(|owner| {
            lines().find(|(_, line)| line.client.as_ref().is_some_and(|c| owner.is(c)))
        });
        // Whoever has least is served first, until the shares are even.
        let held = |line: &Line| line.client.as_ref().map(|c| shares.held_by(c));
        let poorest = lines()
            .filter_map(|(at, line)| Some((held(line)?, line.number(), at)))
            .min();
        // A connection that is nobody's yet goes to the poorest at once; one that would have to
        // be cleaned only if that makes the shares more even, or it would go to and fro.
        let (next, margin) = own.map_or((line, 0), |(_, own)| (own, 1));
        if let (Some((least, _, at)), Some(held)) = (poorest, held(next))
            && least + margin < held
        {
            return Some(at);
        }
        Some(match own {
            Some((at, own)) if line.waited() <= own.waited() * 2 + PATIENCE => at,
            _ => first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(client: &str, ago: u64) -> Waiter {
        Waiter {
            delivery: oneshot::channel().0,
            since: Instant::now() - Duration::from_millis(ago),
            client: (!client.is_empty()).then(|| client.into()),
        }
    }

    fn queue(waiting: &[(&str, u64)]) -> Queue {
        let mut queue = Queue::default();
        for (client, ago) in waiting {
            queue.push_back(waiter(client, *ago));
        }
        queue
    }

    fn shares(of: &[(&str, usize)]) -> (Shares, Vec<Owner>) {
        let mut shares = Shares::default();
        let mut owners = Vec::new();
        for (client, connections) in of {
            owners.extend((0..*connections).map(|_| shares.own(&Arc::from(*client))));
        }
        (shares, owners)
    }

    /// Whose turn it is for a connection that the first of the owners has.
    fn turn(queue: &Queue, of: &[(&str, usize)]) -> String {
        let (shares, owners) = shares(of);
        let line = queue.turn(owners.first(), &shares).expect("somebody waits");
        let first = queue.first_of(line).expect("a waiter");
        first.client.as_deref().unwrap_or_default().to_owned()
    }

    #[test]
    fn an_identity_keeps_its_connections_while_the_shares_are_even() {
        let both = queue(&[("b", 20), ("a", 15)]);
        assert_eq!(turn(&both, &[("a", 3), ("b", 3)]), "a");
        assert_eq!(turn(&both, &[("a", 3), ("b", 2)]), "a");
        // Unless the first has waited much longer.
        let both = queue(&[("b", 50), ("a", 10)]);
        assert_eq!(turn(&both, &[("a", 3), ("b", 3)]), "b");
    }

    /// However many of another identity came before.
    #[test]
    fn whoever_has_least_is_served_first() {
        let mut waiting = vec![("flood", 500); 1000];
        waiting.push(("honest", 1));
        let waiting = queue(&waiting);
        assert_eq!(turn(&waiting, &[("flood", 20)]), "honest");
        assert_eq!(turn(&waiting, &[("flood", 12), ("honest", 8)]), "honest");
        assert_eq!(turn(&waiting, &[("flood", 10), ("honest", 10)]), "flood");
        // A connection that nobody has used yet.
        let (shares, _owners) = shares(&[("flood", 19)]);
        let line = waiting.turn(None, &shares).expect("somebody waits");
        let first = waiting.first_of(line).expect("a waiter");
        assert_eq!(first.client.as_deref(), Some("honest"));
    }

    /// What was cleaned for an identity must not go back to the one it came from.
    #[test]
    fn a_cleaned_connection_goes_to_whom_it_was_cleaned_for() {
        let waiting = queue(&[("a", 20), ("b", 10)]);
        let (shares, _owners) = shares(&[("a", 10), ("b", 9)]);
        let line = waiting.turn(None, &shares).expect("somebody waits");
        let first = waiting.first_of(line).expect("a waiter");
        assert_eq!(first.client.as_deref(), Some("b"));
        assert_eq!(turn(&waiting, &[("a", 10), ("b", 9)]), "a");
    }

    #[test]
    fn one_identity_waits_in_one_line() {
        let mut one = queue(&[("a", 3), ("a", 2), ("a", 1)]);
        one.push_front(waiter("a", 0));
        let waited: Vec<_> = std::iter::from_fn(|| one.take(0))
            .map(|w| w.since.elapsed().as_millis())
            .collect();
        assert!(waited[0] < waited[1] && waited[1] > waited[2] && waited[2] > waited[3]);
        assert!(one.is_empty() && one.since().is_none());
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let mut queue = queue(&[("a", 3), ("", 2)]);
        let (delivery, stays) = oneshot::channel();
        queue.push_back(Waiter {
            delivery,
            ..waiter("b", 1)
        });
        queue.forget_gone();
        assert_eq!((queue.len(), queue.lines.len()), (1, 1));
        drop(stays);
        queue.forget_gone();
        assert!(queue.is_empty());
    }
}
