//! The addresses of a host, tried one by one: the next one when the one before has
//! failed, or has been silent for a moment (RFC 8305, "Happy Eyeballs").
//!
//! An address counts as there when its server has answered the start-up packet, because
//! kernels and load balancers accept connections for servers that are gone.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::login::Login;
use super::reach::{Address, reach};
use super::{Abandoned, ConnectError, LoginCache, Target, Wishes};
use crate::secret::Credential;
use crate::wire::Version;

/// How long an address may be silent before the next one is tried as well.
const SILENCE: Duration = Duration::from_millis(250);

/// What a login is made with.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub target: &'a Target,
    pub credential: &'a Credential,
    pub cache: &'a LoginCache,
    pub wishes: &'a Wishes,
}

/// What came of one address: a server that has answered, or an error.
pub(super) struct Knocked {
    pub address: Address,
    /// The login, where a start-up packet was sent.
    pub login: Option<Login>,
    pub answer: Result<(), ConnectError>,
}

/// The address of each host that answered last.
#[derive(Default)]
pub(super) struct Answered(Mutex<Vec<(Box<str>, SocketAddr)>>);

/// The most hosts that are remembered: secrets that lead to ever new hosts must not fill the
/// memory.
const MOST: usize = 16;

impl Answered {
    pub fn note(&self, target: &Target, address: Address) {
        let Address::Tcp(address) = address else {
            return;
        };
        let mut known = self.0.lock();
        known.retain(|(host, a)| **host != *target.host || a.port() != target.port);
        if known.len() >= MOST {
            known.clear();
        }
        known.push((target.host[..].into(), address));
    }

    /// Puts the address that answered last first. `true`: it is among those of the host.
    fn first(&self, target: &Target, addresses: &mut [Address]) -> bool {
        let known = self.0.lock();
        let last = known
            .iter()
            .find(|(host, a)| **host == *target.host && a.port() == target.port);
        let at =
            last.and_then(|(_, last)| addresses.iter().position(|a| *a == Address::Tcp(*last)));
        if let Some(at) = at {
            addresses[..=at].rotate_right(1);
        }
        at.is_some()
    }
}

/// The addresses of one host, and the attempts that are under way.
pub(super) struct Doors<'a> {
    with: With<'a>,
    waiting: VecDeque<Address>,
    knocking: FuturesUnordered<BoxFuture<'a, Knocked>>,
    /// Ends all attempts that are under way.
    stop: watch::Sender<bool>,
    /// How long the first address may be silent.
    patience: Duration,
    deadline: Instant,
}

impl<'a> Doors<'a> {
    pub fn new(with: With<'a>, mut addresses: Vec<Address>, deadline: Instant) -> Self {
        // One that is known to answer may be busy: it is given time, so that a busy
        // server does not get each login twice.
        let patience = match with.cache.answered.first(with.target, &mut addresses) {
            true => deadline.saturating_duration_since(Instant::now()) / 4,
            false => SILENCE,
        };
        Self {
            with,
            waiting: addresses.into(),
            knocking: FuturesUnordered::new(),
            stop: watch::Sender::new(false),
            patience: patience.max(SILENCE),
            deadline,
        }
    }

    /// The next address that has answered or failed; `None` when all have.
    pub async fn next(&mut self) -> Option<Knocked> {
        loop {
            if self.knocking.is_empty() {
                self.knock()?;
            }
            let next = self.knocking.next();
            if self.waiting.is_empty() {
                return next.await;
            }
            tokio::select! {
                biased;
                knocked = next => return knocked,
                () = sleep(self.patience) => {}
            }
            self.knock();
            self.patience = SILENCE;
        }
    }

    /// Tries the next address, if there is one.
    fn knock(&mut self) -> Option<()> {
        let address = self.waiting.pop_front()?;
        let knock = knock(self.with, address, self.deadline, self.stop.subscribe());
        self.knocking.push(Box::pin(knock));
        Some(())
    }

    /// The time at which a login at an address that has answered has to have ended: all addresses
    /// that are left have an equal share of the time.
    pub fn share(&self) -> Instant {
        let left = self.waiting.len() + self.knocking.len();
        let now = Instant::now();
        let rest = self.deadline.saturating_duration_since(now);
        now + rest / u32::try_from(1 + left).unwrap_or(u32::MAX)
    }

    /// Ends the attempts that are under way; what servers may still count of them goes to
    /// `abandoned`.
    pub async fn stop(mut self, abandoned: &mut Vec<Abandoned>) {
        self.stop.send_replace(true);
        while let Some(knocked) = self.knocking.next().await {
            // One that has answered in the meantime is not needed, either.
            if !matches!(knocked.answer, Err(ConnectError::Unreachable { .. })) {
                abandoned.extend(knocked.login.map(|login| Abandoned(login.stream)));
            }
        }
    }
}

async fn knock(
    with: With<'_>,
    address: Address,
    deadline: Instant,
    mut stop: watch::Receiver<bool>,
) -> Knocked {
    let mut login = None;
    let answer = {
        let steps = timeout_at(deadline, steps(with, address, &mut login));
        let late = || ConnectError::Timeout {
            address: with.target.to_string(),
        };
        tokio::select! {
            answer = steps => answer.unwrap_or_else(|_| Err(late())),
            _ = stop.wait_for(|stop| *stop) => Err(late()),
        }
    };
    Knocked {
        address,
        login,
        answer,
    }
}

/// Connects, and waits for the answer to the start-up packet: in the newest version of
/// the protocol, or else in 3.0.
async fn steps(
    with: With<'_>,
    address: Address,
    slot: &mut Option<Login>,
) -> Result<(), ConnectError> {
    let servers = &with.cache.old_servers;
    let mut version = servers.version_for(with.target);
    let mut refused = false;
    loop {
        let stream = reach(with.target, address).await?;
        let login = slot.insert(Login::new(stream, with.target, version));
        let answer = login.begin(with.target, with.credential, with.wishes).await;
        if refused && login.was_answered() {
            servers.note(with.target);
        }
        match answer {
            Err(error) if version > Version::V3_0 && login.version_is_refused(&error) => {
                tracing::debug!("{error}; asking again in protocol 3.0");
                login.until_gone().await;
                *slot = None;
                (version, refused) = (Version::V3_0, true);
            }
            answer => return answer,
        }
    }
}
