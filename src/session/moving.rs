//! Sessions that move to another process, with their client's socket.
//!
//! A session moves between transactions, if nothing of it is on a server connection. TLS cannot
//! be handed over, and neither can what was found out about a token: such sessions stay.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::arrive::{client_ref, tell};
use super::context::Context;
use super::registry::{CancelKey, FrontendPid, Known, NewSession};
use super::relay::{Portable, Relay};
use super::seats::Seat;
use super::serve::{Counted, Session};
use crate::access::{Account, Denial, Evidence, Grant, Granted, Request};
use crate::audit::{ClientRef, Record};
use crate::net::{Peer, Socket, Stream};
use crate::pool::Pool;
use crate::upstream::Reported;
use crate::wire::Version;

/// The version of [`Moved`]. Sessions of another one stay where they are.
pub const VERSION: u32 = 1;

/// A session on its way.
#[derive(Serialize, Deserialize)]
pub struct Moved {
    id: u64,
    pid: u32,
    key: Vec<u8>,
    protocol: u32,
    database: Arc<str>,
    user: Arc<str>,
    application_name: Option<Arc<str>>,
    since: SystemTime,
    age: Duration,
    peer: MovedPeer,
    via: Option<SocketAddr>,
    local: Option<SocketAddr>,
    account: Option<MovedAccount>,
    relay: Portable,
}

#[derive(Serialize, Deserialize)]
enum MovedPeer {
    Tcp(SocketAddr),
    Unix {
        uid: u32,
        gid: u32,
        pid: Option<i32>,
    },
}

#[derive(Serialize, Deserialize)]
struct MovedAccount {
    uid: u32,
    gid: Option<u32>,
    pid: Option<i32>,
    name: Option<Arc<str>>,
    exe: Option<Arc<str>>,
}

impl Moved {
    fn evidence(&self) -> Evidence {
        let peer = match self.peer {
            MovedPeer::Tcp(address) => Peer::Tcp(address),
            MovedPeer::Unix { uid, gid, pid } => Peer::Unix { uid, gid, pid },
        };
        let account = self.account.as_ref().map(|account| Account {
            uid: account.uid,
            gid: account.gid,
            pid: account.pid,
            name: account.name.clone(),
            exe: account.exe.clone(),
        });
        Evidence {
            via: self.via,
            local: self.local,
            account,
            ..Evidence::new(peer)
        }
    }
}

impl Session {
    /// Sends the session to the other process, if it can move. When the other process says that it
    /// has the session, the session is over here. Nothing is read from the client meanwhile.
    pub(super) async fn depart(&self, relay: &mut Relay) -> bool {
        let (handle, evidence) = (&self.handle, &self.handle.evidence);
        let proved =
            evidence.certificate.is_some() || !evidence.tokens.is_empty() || evidence.aws.is_some();
        if handle.tls.is_some() || proved {
            return false;
        }
        let (Some(packed), Ok(socket)) = (relay.pack(), relay.share_socket()) else {
            return false;
        };
        let account = evidence.account.as_ref().map(|account| MovedAccount {
            uid: account.uid,
            gid: account.gid,
            pid: account.pid,
            name: account.name.clone(),
            exe: account.exe.clone(),
        });
        let moved = Moved {
            id: handle.id,
            pid: handle.pid.0,
            key: handle.key.bytes().to_owned(),
            protocol: handle.protocol.0,
            database: handle.database().clone(),
            user: handle.user.clone(),
            application_name: handle.application_name.clone(),
            since: handle.since,
            age: self.age(),
            peer: match evidence.peer {
                Peer::Tcp(address) => MovedPeer::Tcp(address),
                Peer::Unix { uid, gid, pid } => MovedPeer::Unix { uid, gid, pid },
            },
            via: evidence.via,
            local: evidence.local,
            account,
            relay: packed,
        };
        if !self.context.elsewhere.take(moved, socket).await {
            return false;
        }
        let uses = handle.take_uses();
        if !uses.is_empty() {
            let summary = Record::session_summary(handle.session_ref(), uses);
            self.context.audit.record(summary);
        }
        debug!(
            session = %handle.id,
            "the session goes on in the other process"
        );
        relay.moves_away();
        true
    }
}

/// Goes on with a session of another process, until it ends. `seat`: one of the descriptors
/// for clients.
pub async fn resume(context: Arc<Context>, moved: Moved, socket: OwnedFd, seat: Seat) {
    let stream = match Socket::inherit(socket, matches!(moved.peer, MovedPeer::Tcp(_))) {
        Ok(socket) => Stream::Plain(socket),
        Err(e) => {
            return warn!(session = %moved.id, "a session of the other process is lost: its socket cannot be used: {e}");
        }
    };
    let evidence = moved.evidence();
    let client = ClientRef {
        database: Some(moved.database.clone()),
        requested_user: Some(moved.user.clone()),
        application_name: moved.application_name.clone(),
        ..client_ref(&evidence)
    };
    match Box::pin(admit(&context, moved, evidence, client)).await {
        Ok((session, packed)) => run(session, stream, packed).await,
        Err(denial) => tell(&context, stream, &denial, None).await,
    }
    drop(seat);
}

/// Lets the client in again, if the rules still say so. A denial is recorded.
async fn admit(
    context: &Arc<Context>,
    moved: Moved,
    evidence: Evidence,
    mut client: ClientRef,
) -> Result<(Session, Portable), Denial> {
    let id: Arc<str> = moved.id.to_string().into();
    let (grant, pool, key) = match decide(context, &moved, &evidence, &mut client) {
        Ok(granted) => granted,
        Err(denial) => {
            let told = denial.answer().map(|e| e.sqlstate().0);
            let record = Record::session_lost(id, client, denial.code(), told);
            context.audit.record(record);
            context.metrics.denial(denial.code());
            return Err(denial);
        }
    };
    let known = Known {
        id: moved.id,
        pid: FrontendPid(moved.pid),
        key,
        since: moved.since,
    };
    let handle = context.sessions.readmit(
        NewSession {
            rule: grant.client,
            pool,
            user: moved.user,
            source: client.source.clone(),
            evidence: Arc::new(evidence),
            application_name: client.application_name.clone(),
            tls: None,
            version: Version(moved.protocol),
        },
        known,
    );
    let session = Session::resumed(context.clone(), handle, grant.quota, moved.age);
    let record = Record::session_move(id, client);
    let admitted = context.audit.admit(Box::new(record)).await;
    admitted.map_err(|_| Denial::Audit)?;
    Ok((session, moved.relay))
}

/// Decides again about the client, and finds its pool. `client` learns its identity.
fn decide(
    context: &Context,
    moved: &Moved,
    evidence: &Evidence,
    client: &mut ClientRef,
) -> Result<(Grant, Arc<Pool>, CancelKey), Denial> {
    let routes = context.routes.load_full();
    let decision = routes.policy.decide(&Request {
        evidence,
        database: &moved.database,
        user: &moved.user,
        now: Utc::now(),
    });
    let grant = match decision.grant? {
        Granted::Database(grant) => grant,
        Granted::Console(_) => return Err(Denial::NoPool),
    };
    client.identity = Some(grant.identity.clone());
    client.rule = Some((grant.client.name.clone(), grant.client.number));
    let key = (grant.database.name().clone(), grant.secret.clone());
    let pool = routes.pools.get(&key).cloned().ok_or(Denial::NoPool)?;
    let key = CancelKey::inherit(&moved.key).ok_or(Denial::CancelKey)?;
    Ok((grant, pool, key))
}

async fn run(session: Session, stream: Stream, packed: Portable) {
    let context = &session.context;
    let _seat = context.clients.take_anyway();
    let handle = &session.handle;
    let _counted = Counted::new(context.metrics.clients(handle.database(), &handle.client));
    let pool = session.pool();
    let initial = pool.profiles.intern(packed.initial().clone());
    let told = pool.facts.told(&Reported::from_iter(packed.told()));
    let mut relay = Relay::new(
        stream,
        session.handle.clone(),
        session.quota.clone(),
        initial,
        told,
    );
    relay.unpack(packed);
    session.go_on(&mut relay, Ok(())).await;
}
