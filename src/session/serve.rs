//! One client from accept to goodbye.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::arrive::{Admission, Arrived, Guest, arrive, count_denial, refuse, tell};
use super::context::Context;
use super::greet::{Failed, Greeted};
use super::registry::Handle;
use super::relay::Relay;
use super::seats::Seat;
use crate::access::{Denial, Evidence};
use crate::audit::{Cause, ClientRef, Record, SessionTotals};
use crate::metrics::Gauge;
use crate::net::{Accepted, Stream};
use crate::pool::{Pool, Quota};
use crate::wire::ClientError;

/// Serves one connection to its end: handshake, identification and admission (`arrive`),
/// greeting (`greet`), work and goodbye (`run`).
pub async fn serve(context: Arc<Context>, accepted: Accepted) {
    // What is over before a session becomes idle is on the heap, and freed by then: an idle
    // session is to be small.
    let arrived = match Box::pin(arrive(context, accepted, None)).await {
        Some(Guest::Client(arrived)) => arrived,
        Some(Guest::Visitor(visitor)) => return Box::pin(visitor.serve()).await,
        None => return,
    };
    if let Some(begun) = Box::pin(arrived.begin()).await {
        begun.run().await;
    }
}

/// Takes a connection for which there is no room to the point where its client can be told
/// why. A cancel request is executed all the same.
pub async fn turn_away(context: Arc<Context>, accepted: Accepted, why: Denial) {
    arrive(context, accepted, Some(why)).await;
}

/// Tells a client why it is not let in, and closes its connection at once: for when not even
/// a handshake can be waited for.
pub fn refuse_at_once(context: &Context, accepted: &Accepted, why: &Denial) {
    // What is here is read: a socket that is closed with bytes unread sends a reset, which
    // may overtake the error.
    let mut said = [0; 1024];
    let _ = accepted
        .socket
        .take_now(&mut said, |there| Some(there.len()));
    if let Some(error) = why.answer() {
        let mut out = Vec::new();
        error.fatal(&mut out);
        accepted.socket.send_now(&out);
    }
    count_denial(context, &Evidence::new(accepted.peer.clone()), why);
}

/// A client that was let in. Its end removes it from the registry.
pub(super) struct Session {
    pub context: Arc<Context>,
    pub handle: Arc<Handle>,
    /// What the clients of its rule may hold of the pool.
    pub quota: Quota,
    began: Instant,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.sessions.remove(self.handle.pid);
    }
}

/// A session whose client has been greeted.
struct Begun {
    session: Session,
    stream: Stream,
    greeted: Greeted,
    /// What the client has said already.
    early: Vec<u8>,
    gauge: Counted,
    _seat: Seat,
}

impl Arrived {
    /// Records the session and greets the client. `None`: the session has ended.
    async fn begin(mut self: Box<Self>) -> Option<Begun> {
        let Admission {
            session,
            client,
            settings,
            seat,
        } = self.admission;
        let context = &session.context;
        if let Err(denial) = session.record_start(client).await {
            context.metrics.denial(denial.code());
            tell(context, self.stream, &denial, None).await;
            return None;
        }
        let gauge = Counted::new(
            context
                .metrics
                .clients(session.handle.database(), &session.handle.client),
        );
        let greeted = tokio::select! {
            greeted = session.greet(&mut self.stream, &self.startup, settings) => greeted,
            signal = session.handle.signal_arrives() => Err(signal.farewell().into()),
        };
        match greeted {
            Ok(Some((greeted, early))) => Some(Begun {
                session,
                stream: self.stream,
                greeted,
                early: early.into_bytes(),
                gauge,
                _seat: seat,
            }),
            Ok(None) => {
                session.record_end(None, None);
                None
            }
            Err(failed) => {
                refuse(context, self.stream, |out| failed.fatal(out)).await;
                session.record_end(None, Some(&failed));
                None
            }
        }
    }
}

impl Begun {
    async fn run(self) {
        let gauge = self.gauge;
        self.session
            .run(self.stream, self.greeted, self.early)
            .await;
        drop(gauge);
    }
}

impl Session {
    pub fn new(context: Arc<Context>, handle: Arc<Handle>, quota: Quota) -> Self {
        Self {
            context,
            handle,
            quota,
            began: Instant::now(),
        }
    }

    /// A session that has begun in another process, so long ago.
    pub fn resumed(
        context: Arc<Context>,
        handle: Arc<Handle>,
        quota: Quota,
        age: Duration,
    ) -> Self {
        let mut session = Self::new(context, handle, quota);
        session.began = session.began.checked_sub(age).unwrap_or(session.began);
        session
    }

    /// How long it has lasted.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// The pool its server connections come from.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.handle.pool
    }
}

/// A client of the gauge, until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    pub fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Session {
    /// Writes the record of the start.
    ///
    /// # Errors
    /// The record could not be written, and without it there is no session.
    async fn record_start(&self, client: ClientRef) -> Result<(), Denial> {
        let handle = &self.handle;
        debug!(
            session = %handle.id, client = %handle.client, database = %handle.database(),
            user = %handle.user, source = %handle.source, "session begins"
        );
        let id = self.handle.id.to_string().into();
        let record = Box::new(Record::session_start(id, client));
        let admitted = self.context.audit.admit(record).await;
        admitted.map_err(|_| Denial::Audit)
    }

    /// Writes the record of the end; `why` is what the client was told, if it did not end
    /// the session itself.
    pub fn record_end(&self, relay: Option<&Relay>, why: Option<&Failed>) {
        let traffic = relay.map(Relay::traffic).unwrap_or_default();
        let totals = SessionTotals {
            transactions: traffic.transactions,
            bytes_in: traffic.received,
            bytes_out: traffic.sent,
            duration: self.began.elapsed(),
            uses: self.handle.finish_uses(traffic),
        };
        let reason = why.map(|why| match (why, self.handle.revoked()) {
            (Failed::Client(error @ ClientError::Revoked), Some(revoked)) => {
                format!("{error}: {revoked}")
            }
            _ => why.reason(),
        });
        debug!(
            session = %self.handle.id, client = %self.handle.client,
            transactions = totals.transactions, ms = totals.duration.as_millis(),
            "session ends: {}", reason.as_deref().unwrap_or("the client has left")
        );
        let cause = why.zip(reason.as_deref()).map(|(why, reason)| Cause {
            reason,
            sqlstate: why.sqlstate(),
        });
        if let Some(traces) = self.context.traces.get() {
            traces.record(|| self.span(&totals, why));
        }
        let session = self.handle.session_ref();
        let record = Record::session_end(session, totals, cause);
        self.context.audit.record(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle client costs is mostly the task of its session and its entry in the
    /// registry. (The limit is no law, but the task was once four times as large, for what is
    /// over before a client is idle.)
    #[test]
    fn an_idle_session_is_small() {
        fn any<T>() -> T {
            unreachable!("only its type is looked at")
        }
        fn size<T>(_: impl FnOnce() -> T) -> usize {
            size_of::<T>()
        }
        let task = size(|| serve(any(), any()));
        assert!(task <= 2048, "{task} bytes");
        let seen = size_of::<Session>() + size_of::<Handle>();
        assert!(seen <= 1024, "{seen} bytes");
    }
}
