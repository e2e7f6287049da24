//! Replicas that share a ceiling, in any order of what may happen to them: their plans are the
//! real ones, the server is a few numbers.

use proptest::prelude::*;

use super::plan::{Member, Standing, Step, level, step};

/// A replica, and what the server has of it.
#[derive(Debug, Clone, Default)]
struct Replica {
    demand: usize,
    /// What its pool may open.
    limit: usize,
    proven: bool,
    connections: usize,
    /// In the ledger: its share, how many of its connections, its demand.
    share: usize,
    listed: usize,
    want: usize,
    /// What it has seen of connections in no ledger, at most five times.
    left: Vec<usize>,
    free: Option<usize>,
    others: Vec<Member>,
}

#[derive(Debug, Clone)]
enum Event {
    Demand(usize, usize),
    Write(usize),
    Open(usize),
    Close(usize),
    /// It dies, and another one takes its place; the server goes on with its connections.
    Die(usize),
    /// The server notices that nobody is there.
    Notice,
    /// Its ledger's session ends, and it learns of it before it opens anything.
    Lose(usize),
}

struct World {
    of: usize,
    replicas: Vec<Replica>,
    /// Connections of replicas that have died.
    left: usize,
}

impl World {
    fn open(&self) -> usize {
        self.replicas.iter().map(|r| r.connections).sum::<usize>() + self.left
    }

    fn happen(&mut self, event: &Event) {
        let count = self.replicas.len();
        let at = |i: &usize| i % count;
        match event {
            Event::Demand(i, demand) => self.replicas[at(i)].demand = (*demand).max(1),
            Event::Write(i) => self.write(at(i)),
            Event::Open(i) => {
                let replica = &mut self.replicas[at(i)];
                if replica.proven && replica.connections < replica.limit {
                    replica.connections += 1;
                }
            }
            Event::Close(i) => {
                let replica = &mut self.replicas[at(i)];
                replica.connections = replica.connections.saturating_sub(1);
            }
            Event::Die(i) => {
                let dead = std::mem::take(&mut self.replicas[at(i)]);
                self.left += dead.connections;
                self.replicas[at(i)].demand = 1;
            }
            Event::Notice => self.left = self.left.saturating_sub(1),
            Event::Lose(i) => {
                let replica = &mut self.replicas[at(i)];
                (replica.proven, replica.free) = (false, None);
                (replica.share, replica.listed, replica.want) = (0, 0, 0);
            }
        }
        assert!(self.open() <= self.of, "{} of {}", self.open(), self.of);
    }

    fn write(&mut self, i: usize) {
        let me = &mut self.replicas[i];
        let next = step(
            &Standing {
                of: self.of,
                share: me.share,
                used: me.connections,
                demand: me.demand,
                left: me.left.iter().copied().min().unwrap_or(0),
                free: me.free,
            },
            &me.others,
        );
        me.listed = me.connections;
        me.want = me.demand;
        if let Step::Shrink { share, .. } = next {
            me.share = share;
        }
        let others = self.replicas.iter().enumerate().filter(|(j, _)| *j != i);
        let others: Vec<&Replica> = others.map(|(_, other)| other).collect();
        // As the query counts it.
        let load = |r: &Replica| r.share.max(r.listed);
        let loads: usize = others.iter().map(|r| load(r)).sum();
        let unlisted = |r: &&Replica| r.connections.saturating_sub(r.listed);
        let orphans = others.iter().map(unlisted).sum::<usize>() + self.left;
        let free = self.of.saturating_sub(loads + orphans);
        let seen = others.iter().filter(|r| r.want > 0 || r.share > 0);
        let members = seen.map(|r| Member {
            load: load(r),
            want: r.want,
        });
        let members = members.collect();
        let me = &mut self.replicas[i];
        me.left.push(orphans);
        if me.left.len() > 5 {
            me.left.remove(0);
        }
        // The first look at the ledger changes nothing.
        if me.free.is_none() {
            (me.free, me.others) = (Some(free), members);
            return;
        }
        if let Step::Grow { upto } = next {
            me.share = me.share.max(upto.min(free));
        }
        me.limit = match next {
            Step::Shrink { limit, .. } => limit,
            Step::Grow { .. } => me.share,
        };
        (me.proven, me.free, me.others) = (true, Some(free), members);
    }

    /// Nothing unforeseen happens any more: each opens what it wants, and closes what it may not
    /// keep.
    fn settle(&mut self) {
        self.left = 0;
        for _ in 0..20 {
            for i in 0..self.replicas.len() {
                self.happen(&Event::Write(i));
                let replica = &mut self.replicas[i];
                replica.connections = replica.connections.min(replica.limit);
                for _ in 0..replica.demand {
                    self.happen(&Event::Open(i));
                }
            }
        }
        let level = level(self.of, self.replicas.iter().map(|r| r.demand));
        for replica in &self.replicas {
            let due = replica.demand.min(level);
            assert!(replica.limit >= due, "{due} are due to {replica:?}");
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = any::<usize>;
    let event = prop_oneof![
        3 => (who(), 0..40usize).prop_map(|(i, demand)| Event::Demand(i, demand)),
        8 => who().prop_map(Event::Write),
        12 => who().prop_map(Event::Open),
        4 => who().prop_map(Event::Close),
        1 => who().prop_map(Event::Die),
        2 => Just(Event::Notice),
        1 => who().prop_map(Event::Lose),
    ];
    proptest::collection::vec(event, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_never_exceeds_the_ceiling_and_everybody_gets_what_is_due(
        replicas in 1..5usize,
        of in 1..30usize,
        events in events(),
    ) {
        let first = Replica { demand: 1, ..Replica::default() };
        let mut world = World { of, replicas: vec![first; replicas], left: 0 };
        for event in &events {
            world.happen(event);
        }
        world.settle();
    }
}
