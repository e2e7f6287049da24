//! Who holds a share of something scarce: the oldest first, and each may be told
//! to give way to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

/// A number that grows, so that the smallest is that of the oldest holder.
pub type Id = u64;

pub struct Holders<T> {
    next: Id,
    all: BTreeMap<Id, (T, Arc<Notify>)>,
}

impl<T> Default for Holders<T> {
    fn default() -> Self {
        Self {
            next: 0,
            all: BTreeMap::new(),
        }
    }
}

impl<T> Holders<T> {
    /// Adds a holder. It has to give way when the notification arrives.
    pub fn add(&mut self, share: T) -> (Id, Arc<Notify>) {
        let (id, gives_way) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        self.all.insert(id, (share, gives_way.clone()));
        (id, gives_way)
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.all.remove(&id).map(|(share, _)| share)
    }

    /// Removes a holder and tells it to give way.
    pub fn turn_away(&mut self, id: Id) -> Option<T> {
        let (share, gives_way) = self.all.remove(&id)?;
        gives_way.notify_one();
        Some(share)
    }

    pub fn get(&self, id: Id) -> Option<&T> {
        self.all.get(&id).map(|(share, _)| share)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.all.get_mut(&id).map(|(share, _)| share)
    }

    /// The holders that have not been told to give way, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> + Clone {
        self.all.iter().map(|(id, (share, _))| (*id, share))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }
}
