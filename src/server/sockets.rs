//! The listening sockets of a proxy: those that it was given, and those that it has.

use std::io;
use std::os::fd::OwnedFd;

use parking_lot::Mutex;

use super::upgrade::message::Part;
use crate::net::listener::ListenError;
use crate::net::{InheritedSocket, PassedSockets, Shared, SocketKind};

/// The sockets that somebody else has opened.
#[derive(Default)]
pub struct Sockets {
    pub clients: PassedSockets,
    pub admin: PassedSockets,
    pub store: PassedSockets,
    pub fleet: PassedSockets,
}

impl Sockets {
    /// The sockets of the process before this one.
    ///
    /// # Errors
    /// One of them is no listening socket.
    pub(super) fn inherit(
        all: impl Iterator<Item = (Part, InheritedSocket)>,
    ) -> Result<Self, ListenError> {
        let (mut clients, mut admin) = (Vec::new(), Vec::new());
        let (mut store, mut fleet) = (Vec::new(), Vec::new());
        for (part, socket) in all {
            match part {
                Part::Clients => clients.push(socket),
                Part::Admin => admin.push(socket),
                Part::Store => store.push(socket),
                Part::Fleet => fleet.push(socket),
            }
        }
        Ok(Self {
            clients: PassedSockets::inherit(clients)?,
            admin: PassedSockets::inherit(admin)?,
            store: PassedSockets::inherit(store)?,
            fleet: PassedSockets::inherit(fleet)?,
        })
    }
}

/// Copies of the listening sockets, and what they are for, in the same order.
pub struct Offered {
    pub kinds: Vec<(Part, SocketKind)>,
    pub descriptors: Vec<OwnedFd>,
}

/// A second descriptor of every listening socket, for the process that replaces this one. As
/// long as it is open, clients can connect.
#[derive(Default)]
pub struct OpenSockets(Mutex<Vec<Open>>);

struct Open {
    id: SocketId,
    part: Part,
    socket: Shared,
}

/// One of these sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketId(usize);

impl OpenSockets {
    pub fn add(&self, part: Part, socket: Shared) -> SocketId {
        let mut sockets = self.0.lock();
        let id = SocketId(sockets.last().map_or(0, |last| last.id.0 + 1));
        sockets.push(Open { id, part, socket });
        id
    }

    /// Closes one of them.
    pub fn remove(&self, id: SocketId) {
        self.0.lock().retain(|open| open.id != id);
    }

    /// Copies for another process, and what they are for.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn offer(&self) -> io::Result<Offered> {
        let sockets = self.0.lock();
        let copies = sockets.iter().map(|open| open.socket.socket.try_clone());
        Ok(Offered {
            kinds: sockets
                .iter()
                .map(|open| (open.part, open.socket.kind))
                .collect(),
            descriptors: copies.collect::<io::Result<_>>()?,
        })
    }

    /// The files of unix sockets are this process's from now on.
    pub fn own(&self) {
        for Open { socket, .. } in &*self.0.lock() {
            if let (SocketKind::Unix, Some(removed)) = (socket.kind, &socket.removed) {
                removed.set(true);
            }
        }
    }

    /// Leaves the files of unix sockets to another process, and closes these descriptors.
    pub fn leave(&self) {
        for Open { socket, .. } in self.0.lock().drain(..) {
            if let Some(removed) = socket.removed {
                removed.set(false);
            }
        }
    }

    /// Closes those of clients.
    pub fn close_clients(&self) {
        self.0.lock().retain(|open| open.part == Part::Admin);
    }
}
