//! The way from the places of a target to a server that has let us in.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::knock::{Doors, With};
use super::login::Login;
use super::reach::{Address, addresses};
use super::role;
use super::shortcut::by_shortcut;
use super::{ConnectError, LoginCache, Quiet, Server, Target, Wishes};
use crate::net::Stream;
use crate::secret::Credential;
use crate::upstream::SessionAttrs;

/// Logs in with a credential, at the first place that is what the target wants.
/// `limit` holds for each place.
///
/// # Errors
/// [`ConnectError`], none of which holds the password.
pub async fn connect(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &LoginCache,
    limit: Duration,
) -> Result<Server, ConnectError> {
    let wishes = Wishes::default();
    let connected = connect_with(target, credential, cache, limit, &wishes, &mut Vec::new()).await;
    connected.map(|(server, _)| server)
}

/// [`connect`] for a client that asks for more than a session. Logins that were given
/// up, and that the server may still count, go to `abandoned`.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(
    target: &Arc<Target>,
    credential: &Credential,
    cache: &LoginCache,
    limit: Duration,
    wishes: &Wishes,
    abandoned: &mut Vec<Abandoned>,
) -> Result<(Server, Quiet), ConnectError> {
    let this = std::slice::from_ref(target);
    let places = if target.places.is_empty() {
        this
    } else {
        &target.places
    };
    let mut failures = Failures::default();
    for &wanted in role::passes(target.attrs) {
        for place in places {
            let with = With {
                target: place,
                credential,
                cache,
                wishes,
            };
            if let Some(server) = by_shortcut(with, wanted, limit / 4, abandoned).await {
                return Ok((server, Quiet::after_login()));
            }
            let deadline = Instant::now() + limit;
            let found = timeout_at(deadline, addresses(place)).await;
            let error = match found.unwrap_or_else(|_| Err(late(place))) {
                Ok(found) => {
                    let doors = Doors::new(with, found, deadline);
                    match at_place(place, with, doors, wanted, abandoned).await {
                        Ok(server) => return Ok((server, Quiet::after_login())),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if !error.is_of_the_place() {
                return Err(error);
            }
            failures.add(error);
        }
    }
    Err(failures.first.unwrap_or_else(|| ConnectError::Unreachable {
        address: target.to_string(),
        reason: "there is no host".to_owned(),
    }))
}

fn late(place: &Target) -> ConnectError {
    ConnectError::Timeout {
        address: place.to_string(),
    }
}

/// Logs in at one place, at the first of its addresses that is what is wanted.
pub(super) async fn at_place(
    place: &Arc<Target>,
    with: With<'_>,
    mut doors: Doors<'_>,
    wanted: SessionAttrs,
    abandoned: &mut Vec<Abandoned>,
) -> Result<Server, ConnectError> {
    let mut failures = Failures::default();
    while let Some(knocked) = doors.next().await {
        let mut attempt = Attempt {
            place,
            login: knocked.login,
            server: None,
        };
        let error = match knocked.answer {
            Ok(()) => match timeout_at(doors.share(), attempt.run(with, wanted)).await {
                Ok(Ok(server)) => {
                    with.cache.answered.note(place, knocked.address);
                    doors.stop(abandoned).await;
                    return Ok(server);
                }
                Ok(Err(error)) => error,
                Err(_) => late(place),
            },
            Err(error) => error,
        };
        abandoned.extend(attempt.end(&error).await);
        if !error.is_of_the_place() {
            doors.stop(abandoned).await;
            return Err(error);
        }
        failures.add_at(knocked.address, error);
    }
    Err(failures.into_error(place))
}

/// What failed, at several places or addresses.
#[derive(Default)]
struct Failures {
    /// The error that tells most.
    first: Option<ConnectError>,
    /// What has happened at each address.
    each: Vec<String>,
}

impl Failures {
    fn add(&mut self, error: ConnectError) {
        // That one server is no standby matters less than that another is down.
        if !matches!(self.first, Some(ref f) if !matches!(f, ConnectError::NotWanted { .. })) {
            self.first = Some(error);
        }
    }

    fn add_at(&mut self, address: Address, error: ConnectError) {
        let why = match &error {
            ConnectError::Unreachable { reason, .. } => reason.clone(),
            ConnectError::Timeout { .. } => "no answer in time".to_owned(),
            other => other.to_string(),
        };
        self.each.push(format!("{address}: {why}"));
        // A server that said something tells more than one that said nothing.
        let silent = |e: &ConnectError| {
            matches!(
                e,
                ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }
            )
        };
        match &self.first {
            Some(first) if silent(first) && !silent(&error) => self.first = Some(error),
            _ => self.add(error),
        }
    }

    /// The error of all addresses of a place, as one.
    fn into_error(self, place: &Target) -> ConnectError {
        match self.first {
            Some(ConnectError::Unreachable { .. } | ConnectError::Timeout { .. })
                if self.each.len() > 1 =>
            {
                ConnectError::Unreachable {
                    address: place.to_string(),
                    reason: self.each.join("; "),
                }
            }
            Some(error) => error,
            None => late(place),
        }
    }
}

/// A login at a server that has answered, and what there is of it when its time is up.
struct Attempt<'a> {
    place: &'a Arc<Target>,
    login: Option<Login>,
    server: Option<Server>,
}

impl Attempt<'_> {
    async fn run(&mut self, with: With<'_>, wanted: SessionAttrs) -> Result<Server, ConnectError> {
        let place = self.place;
        let lost = || ConnectError::Protocol {
            address: place.to_string(),
            what: "no login is under way",
        };
        let login = self.login.as_mut().ok_or_else(lost)?;
        let welcome = login.run(place, with.credential, with.cache).await?;
        let login = self.login.take().ok_or_else(lost)?;
        let server = self.server.insert(login.into_server(place, welcome));
        if role::suits(server, wanted).await {
            return self.server.take().ok_or_else(lost);
        }
        Err(ConnectError::NotWanted {
            address: place.to_string(),
            wanted: wanted.as_str(),
        })
    }

    /// Ends a failed attempt; returns what the server may still count of it.
    async fn end(self, error: &ConnectError) -> Option<Abandoned> {
        match (self.server, self.login) {
            (Some(server), _) if matches!(error, ConnectError::NotWanted { .. }) => {
                server.close().await;
                None
            }
            (Some(server), _) => Some(Abandoned(server.stream)),
            (None, Some(mut login)) => match error {
                ConnectError::Unreachable { .. } => None, // it is gone
                // Also after the password was right: 53300, 3D000, 55000.
                ConnectError::Refused { .. } if login.until_gone().await => None,
                _ => Some(Abandoned(login.stream)),
            },
            (None, None) => None,
        }
    }
}

/// A login that was given up while the server was still busy with it. Its backend
/// counts until the server has read that we are gone.
pub struct Abandoned(pub(super) Stream);

impl Abandoned {
    /// The most bytes that are read: more than a server sends after a login.
    const MOST: usize = 1 << 20;

    /// Hangs up, and waits until the server has hung up too, but no longer than
    /// `limit`: a host that is gone will never do it.
    pub async fn gone(mut self, limit: Duration) {
        let gone = async {
            // From here on Postgres reads the end of the stream, when it reads.
            self.0.shutdown().await?;
            let (mut rest, mut read) = ([0; 1024], 0);
            loop {
                match self.0.read(&mut rest).await? {
                    0 => return std::io::Result::Ok(()),
                    n => read += n,
                }
                if read > Self::MOST {
                    return Ok(());
                }
            }
        };
        // An error means that the server is gone.
        let _ = timeout(limit, gone).await;
    }
}

#[cfg(test)]
mod tests;
