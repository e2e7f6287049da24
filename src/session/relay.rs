//! The data path: one task a client, polled by hand.
//!
//! Bytes are read into a buffer that belongs to the thread, scanned where they
//! lie, and written on at once; only what could not be written, or is the
//! incomplete head of a message, is copied into memory of the session. An idle
//! client therefore holds no buffer at all, and in the usual case a message
//! costs one read and one write.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::backend::{self, Backend};
use super::context::{Handle, Held, Signal};
use super::frontend::{Frontend, Server, Verdict, Watch};
use super::pending::Pending;
use super::replies::Replies;
use crate::config::PoolMode;
use crate::net::Stream;
use crate::pool::{Connection, Generation, Lease, Pool, Profile, Settings};
use crate::upstream::BackendPid;
use crate::wire::{ClientError, message};

/// Bytes a read may return. Large enough that a big result costs few system
/// calls, small enough to stay in the cache.
const SCRATCH: usize = 32 * 1024;

struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    /// Never held across a wait: a poll takes it and gives it back.
    static BUFFERS: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; SCRATCH].into_boxed_slice(),
        output: Vec::with_capacity(1024),
    });
}

/// Why the relay came to a halt.
pub(super) enum Halt {
    /// A message of the client needs a server connection.
    NeedServer,
    /// At rest, but the server has to be asked what the client left there.
    Settle,
    /// The client said goodbye.
    Goodbye,
    /// The client is gone without a word.
    ClientGone,
    ServerGone,
    /// pgvalet's own settings were refused by the server.
    SettingsRefused(message::ErrorFields),
    Violation(ClientError),
    Asked(Signal),
}

pub(super) struct Relay {
    pub client: Stream,
    pub pool: Arc<Pool>,
    pub handle: Arc<Handle>,
    pub mode: PoolMode,
    pub lease: Option<Lease>,
    /// What the client expects to be set.
    pub profile: Arc<Profile>,
    /// What it brought at start-up: DISCARD ALL and RESET lead back to it.
    pub initial: Arc<Profile>,
    /// Why the lease outlives its transactions, if it does.
    pub pinned: Option<&'static str>,
    front: Frontend,
    back: Backend,
    replies: Replies,
    to_client: Pending,
    to_server: Pending,
    /// Read but not yet dealt with: the head of a message.
    from_client: Vec<u8>,
    from_server: Vec<u8>,
    /// `from_client` may be dealt with now, without reading more.
    retry: bool,
    /// It cannot be, before the server has answered what was sent.
    stalled: bool,
    ask: bool,
    discarding: bool,
    pub received: u64,
    pub sent: u64,
    counted: Totals,
    /// Generations this session has used; each is recorded once.
    used: Vec<u64>,
    on_first_use: FirstUse,
}

/// Told of the first lease of the session on a version.
pub(super) type FirstUse = Box<dyn Fn(&Generation, BackendPid) + Send>;

/// What has been added to the pool's statistics.
#[derive(Default, Clone, Copy)]
struct Totals {
    transactions: u64,
    queries: u64,
    received: u64,
    sent: u64,
}

impl Relay {
    pub fn new(
        client: Stream,
        pool: Arc<Pool>,
        handle: Arc<Handle>,
        profile: Arc<Profile>,
        on_first_use: FirstUse,
    ) -> Self {
        Self {
            client,
            mode: pool.database.pool_mode,
            pool,
            handle,
            lease: None,
            initial: profile.clone(),
            profile,
            pinned: None,
            front: Frontend::default(),
            back: Backend::default(),
            replies: Replies::default(),
            to_client: Pending::default(),
            to_server: Pending::default(),
            from_client: Vec::new(),
            from_server: Vec::new(),
            retry: false,
            stalled: false,
            ask: false,
            discarding: false,
            received: 0,
            sent: 0,
            counted: Totals::default(),
            used: Vec::new(),
            on_first_use,
        }
    }

    pub fn transactions(&self) -> u64 {
        self.back.transactions
    }

    /// Between transactions, with nothing under way.
    pub fn at_rest(&self) -> bool {
        self.lease.is_none()
            || (self.replies.is_empty()
                && !self.front.batch_open
                && !self.front.mid_message()
                && self.back.is_idle()
                && self.from_server.is_empty()
                && self.to_server.is_empty())
    }

    /// Nothing is under way, but a transaction may be open.
    pub fn at_ready(&self) -> bool {
        self.replies.is_empty()
            && !self.front.batch_open
            && !self.front.mid_message()
            && self.back.is_at_boundary()
            && !self.back.doubtful
            && self.from_server.is_empty()
            && self.to_server.is_empty()
    }

    pub fn in_transaction(&self) -> bool {
        self.lease.is_some() && self.back.status != b'I'
    }

    pub fn saw_fatal(&self) -> bool {
        self.back.fatal
    }

    /// Takes a server connection into use; its settings are brought up to date
    /// in front of the client's first message.
    pub fn begin(&mut self, mut lease: Lease) {
        self.handle.hold(Some(Held {
            backend: lease.server.backend.clone(),
            generation: lease.generation.clone(),
        }));
        self.back.begin();
        let generation = &lease.generation;
        if !self.used.contains(&generation.number) {
            self.used.push(generation.number);
            (self.on_first_use)(generation, lease.server.backend.pid);
        }
        if !Arc::ptr_eq(&lease.profile, &self.profile) {
            if let Some(sql) = self.profile.change_from(&lease.profile) {
                let out = self.to_server.buffer();
                Frontend::ask(&sql, out, &mut self.replies, &mut lease.prepared);
                lease.dirty = true;
            }
            lease.profile = self.profile.clone();
        }
        self.lease = Some(lease);
        self.retry = true;
    }

    /// Gives the lease up; what becomes of its connection is the caller's.
    pub fn end(&mut self) -> Option<Lease> {
        // Under the lock of the handle, before anybody else can have it.
        self.handle.hold(None);
        self.count();
        self.replies.shrink();
        self.lease.take()
    }

    fn count(&mut self) {
        let now = Totals {
            transactions: self.back.transactions,
            queries: self.front.queries,
            received: self.received,
            sent: self.sent,
        };
        let before = std::mem::replace(&mut self.counted, now);
        self.pool.count(
            now.transactions - before.transactions,
            now.queries - before.queries,
            now.received - before.received,
            now.sent - before.sent,
        );
    }

    /// Runs until something comes up that needs more than moving bytes.
    pub async fn run(&mut self) -> Halt {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Ends when the client is gone; for the wait for a server connection.
    /// What still waits for it is sent, and what it sends is kept, as much as
    /// one read may return.
    pub async fn client_leaves(&mut self) {
        std::future::poll_fn(|cx| {
            loop {
                match self.to_client.write(cx, &mut self.client) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(false)) | Poll::Pending => break,
                }
            }
            BUFFERS.with_borrow_mut(|scratch| {
                while self.from_client.len() < SCRATCH {
                    match ready!(read(cx, &mut self.client, &mut scratch.input)) {
                        Ok(0) | Err(_) => return Poll::Ready(()),
                        Ok(n) => {
                            self.received += n as u64;
                            self.from_client.extend_from_slice(&scratch.input[..n]);
                        }
                    }
                }
                Poll::Pending // the wait ends otherwise
            })
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        self.handle.register(cx.waker());
        match self.handle.signalled() {
            Signal::None => {}
            Signal::Cancel => self.handle.forget_cancel(),
            Signal::Kill => return Poll::Ready(Halt::Asked(Signal::Kill)),
            signal if self.at_rest() => return Poll::Ready(Halt::Asked(signal)),
            _ => {}
        }
        BUFFERS.with_borrow_mut(|scratch| {
            loop {
                let mut progress = false;
                match self.to_client.write(cx, &mut self.client) {
                    Poll::Ready(Ok(wrote)) => progress |= wrote,
                    Poll::Ready(Err(_)) => return Poll::Ready(Halt::ClientGone),
                    Poll::Pending => {}
                }
                if let Some(lease) = &mut self.lease {
                    match self.to_server.write(cx, &mut lease.server.stream) {
                        Poll::Ready(Ok(wrote)) => progress |= wrote,
                        // What the server said last is still to be read.
                        Poll::Ready(Err(_)) => self.to_server.clear(),
                        Poll::Pending => {}
                    }
                }
                if self.lease.is_some() && self.to_client.is_empty() {
                    match self.poll_server(cx, scratch) {
                        Poll::Ready(result) => {
                            self.retry |= std::mem::take(&mut self.stalled);
                            if let Err(halt) = result {
                                return Poll::Ready(halt);
                            }
                            progress = true;
                        }
                        Poll::Pending => {}
                    }
                }
                if self.to_server.is_empty() && self.to_client.has_room() && self.replies.has_room()
                {
                    match self.poll_client(cx, scratch) {
                        Poll::Ready(Ok(())) => progress = true,
                        Poll::Ready(Err(halt)) => return Poll::Ready(halt),
                        Poll::Pending => {}
                    }
                }
                if !progress {
                    // It may have come to rest only now, and nothing will
                    // wake it again for the signal's sake.
                    return match self.handle.signalled() {
                        signal @ (Signal::DrainDeadline | Signal::Shutdown) if self.at_rest() => {
                            Poll::Ready(Halt::Asked(signal))
                        }
                        _ => Poll::Pending,
                    };
                }
            }
        })
    }

    /// One read from the client, and what follows from it.
    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        if std::mem::take(&mut self.retry) && !self.from_client.is_empty() {
            let input = std::mem::take(&mut self.from_client);
            let result = self.forward(cx, &input, &mut scratch.output);
            return Poll::Ready(
                result.map(|consumed| keep(&mut self.from_client, input, consumed)),
            );
        }
        if self.stalled && self.from_client.len() >= SCRATCH {
            return Poll::Pending;
        }
        let n = match ready!(read(cx, &mut self.client, &mut scratch.input)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Halt::ClientGone)),
            Ok(n) => n,
        };
        self.received += n as u64;
        if self.stalled {
            // Read all the same, so that a client that leaves is noticed.
            self.from_client.extend_from_slice(&scratch.input[..n]);
            return Poll::Ready(Ok(()));
        }
        let result = if self.from_client.is_empty() {
            match self.forward(cx, &scratch.input[..n], &mut scratch.output) {
                Ok(consumed) => {
                    self.from_client
                        .extend_from_slice(&scratch.input[consumed..n]);
                    Ok(())
                }
                Err(halt) => Err(halt),
            }
        } else {
            let mut input = std::mem::take(&mut self.from_client);
            input.extend_from_slice(&scratch.input[..n]);
            self.forward(cx, &input, &mut scratch.output)
                .map(|consumed| keep(&mut self.from_client, input, consumed))
        };
        Poll::Ready(result)
    }

    /// Scans bytes of the client and sends on what is for the server. Where a
    /// server connection is needed and one is free, it is taken on the spot.
    fn forward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let mut at = 0;
        loop {
            out.clear();
            let server = Server {
                session: self.handle.id,
                statements: &self.pool.statements,
                prepared: self.lease.as_deref_mut().map(|c| &mut c.prepared),
                status: self.back.status,
                multiplex: self.mode == PoolMode::Transaction,
            };
            let rest = &input[at..];
            let progress = self.front.scan(rest, out, &mut self.replies, server);
            let run = &rest[progress.run..progress.consumed];
            at += progress.consumed;
            if !out.is_empty() || !run.is_empty() {
                self.send(cx, out, run);
            }
            // Answers of pgvalet's own that nothing of the server's precedes.
            let out = self.to_client.buffer();
            self.back.answer_known(&mut self.replies, out);
            match progress.verdict {
                Verdict::More => {
                    // The end of a message that the server had given up on. (With
                    // another one begun, its end will do.)
                    if at == input.len() && self.lease.is_some() && self.at_rest() {
                        self.over()?;
                    }
                    return Ok(at);
                }
                Verdict::NeedAnswers => {
                    self.stalled = true;
                    return Ok(at);
                }
                Verdict::Terminate => return Err(Halt::Goodbye),
                Verdict::Violation(error) => return Err(Halt::Violation(error)),
                Verdict::NeedServer => match self.pool.try_checkout() {
                    Some(lease) => self.begin(lease),
                    None => {
                        self.from_client.clear();
                        self.from_client.extend_from_slice(&input[at..]);
                        return Err(Halt::NeedServer);
                    }
                },
            }
        }
    }

    /// To the server: behind what already waits, else straight to the socket.
    fn send(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, run: &[u8]) {
        let Some(lease) = &mut self.lease else { return };
        lease.dirty = true;
        self.to_server.send(cx, &mut lease.server.stream, head, run);
    }

    /// One read from the server, and what follows from it.
    fn poll_server(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), Halt>> {
        let Some(lease) = &mut self.lease else {
            return Poll::Pending;
        };
        let n = match ready!(read(cx, &mut lease.server.stream, &mut scratch.input)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Halt::ServerGone)),
            Ok(n) => n,
        };
        scratch.output.clear();
        if self.from_server.is_empty() {
            let consumed = self.backward(cx, &scratch.input[..n], &mut scratch.output);
            Poll::Ready(consumed.map(|c| {
                if self.lease.is_some() {
                    self.from_server.extend_from_slice(&scratch.input[c..n]);
                }
            }))
        } else {
            let mut input = std::mem::take(&mut self.from_server);
            input.extend_from_slice(&scratch.input[..n]);
            let consumed = self.backward(cx, &input, &mut scratch.output);
            Poll::Ready(consumed.map(|c| keep(&mut self.from_server, input, c)))
        }
    }

    /// Scans bytes of the server and sends on what is for the client. A
    /// connection that has become free goes back *before* the client is
    /// written to: the next client need not wait for this one's socket.
    fn backward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Halt> {
        let Some(lease) = &mut self.lease else {
            return Ok(input.len());
        };
        let connection: &mut Connection = lease;
        let server = backend::Server {
            statements: &self.pool.statements,
            prepared: &mut connection.prepared,
            reported: &mut connection.server.reported,
        };
        let progress = self
            .back
            .scan(input, out, &mut self.replies, &mut self.front, server);
        let run = &input[progress.run..progress.consumed];
        self.sent += (out.len() + run.len()) as u64;
        let mut halt = None;
        if let Some(findings) = progress.findings {
            halt = self.consider(*findings).err();
        }
        let whole = progress.consumed == input.len();
        // Known answers behind the last one of the server.
        if self.back.is_at_boundary() && self.replies.front_is_known() {
            out.extend_from_slice(run);
            self.back.answer_known(&mut self.replies, out);
            self.to_client.send(cx, &mut self.client, out, &[]);
            if halt.is_none() && whole && self.at_rest() {
                halt = self.over().err();
            }
        } else {
            if halt.is_none() && whole && self.at_rest() {
                halt = self.over().err();
            }
            self.to_client.send(cx, &mut self.client, out, run);
        }
        match halt {
            Some(halt) => Err(halt),
            None => Ok(progress.consumed),
        }
    }

    fn consider(&mut self, findings: backend::Findings) -> Result<(), Halt> {
        if findings.broken {
            return Err(Halt::ServerGone);
        }
        if let Some(fields) = findings.own_failed {
            return Err(Halt::SettingsRefused(fields));
        }
        if self.mode != PoolMode::Transaction {
            return Ok(());
        }
        self.ask |= findings.ask || (findings.freed && self.pinned.is_some());
        if findings.discarded {
            self.discarding = true;
            self.profile = self.initial.clone();
            if let Some(lease) = &mut self.lease {
                lease.profile = Profile::initial();
            }
        }
        if !self.discarding && !findings.reported.is_empty() {
            self.reported(findings.reported);
        }
        Ok(())
    }

    /// The client changed settings that the server reports: they are its own
    /// from now on, wherever it goes.
    fn reported(&mut self, reported: Vec<(Box<str>, Box<str>)>) {
        let mut settings: Settings = self.profile.settings().clone();
        for (name, value) in reported {
            if backend::is_portable(&name) {
                settings.insert(name.to_ascii_lowercase().into(), value);
            } else {
                self.ask = true;
            }
        }
        self.profile = self.pool.profiles.intern(settings);
        if let Some(lease) = &mut self.lease {
            lease.profile = self.profile.clone();
        }
    }

    /// At rest with a lease: in transaction mode the connection goes back.
    fn over(&mut self) -> Result<(), Halt> {
        self.discarding = false;
        if self.mode == PoolMode::Session {
            if let Some(lease) = &mut self.lease {
                // Whatever it left there is cleaned when it leaves.
                lease.dirty = true;
            }
            self.count();
            return Ok(());
        }
        if self.back.doubtful
            && let Some(lease) = &mut self.lease
        {
            let out = self.to_server.buffer();
            Frontend::ask("", out, &mut self.replies, &mut lease.prepared);
            return Ok(());
        }
        self.front.watch.local_sets = 0;
        self.ask |= std::mem::take(&mut self.front.watch.ask);
        if self.ask || self.pinned.is_some() {
            return Err(Halt::Settle);
        }
        if let Some(lease) = self.end() {
            lease.check_in();
        }
        Ok(())
    }

    /// A command ran that may have changed what stays there.
    pub fn must_ask(&self) -> bool {
        self.ask
    }

    /// The server has been asked; see [`Halt::Settle`].
    pub fn settled(&mut self) {
        self.ask = false;
    }

    /// The lease, and what the texts of the session's statements have shown.
    pub fn lease_and_watch(&mut self) -> Option<(&mut Lease, &Watch)> {
        Some((self.lease.as_mut()?, &self.front.watch))
    }

    /// Keeps the lease beyond the end of the transaction.
    pub fn stay(&mut self) {
        self.count();
    }

    /// After a goodbye: drivers close statements and say goodbye in one go.
    /// What the server still answers is waited for, and nobody listens.
    pub async fn finish(&mut self) {
        std::future::poll_fn(|cx| {
            BUFFERS.with_borrow_mut(|scratch| {
                loop {
                    self.to_client.clear();
                    if self.at_ready() {
                        return Poll::Ready(());
                    }
                    let Some(lease) = &mut self.lease else {
                        return Poll::Ready(());
                    };
                    match self.to_server.write(cx, &mut lease.server.stream) {
                        Poll::Ready(Ok(true)) => continue,
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Ready(Ok(false)) | Poll::Pending => {}
                    }
                    if ready!(self.poll_server(cx, scratch)).is_err() {
                        return Poll::Ready(());
                    }
                }
            })
        })
        .await;
    }

    /// What the client is told last, and everything that still waits for it.
    pub async fn farewell(&mut self, last: &[u8]) {
        self.to_client.buffer().extend_from_slice(last);
        let flush = std::future::poll_fn(|cx| {
            loop {
                match ready!(self.to_client.write(cx, &mut self.client)) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Ready(io::Result::Ok(())),
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
        });
        // A client that does not read is not waited for.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), flush).await;
        let close = std::future::poll_fn(|cx| Pin::new(&mut self.client).poll_shutdown(cx));
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), close).await;
    }
}

fn read<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// What was not dealt with waits for the rest of its message.
fn keep(waiting: &mut Vec<u8>, mut input: Vec<u8>, consumed: usize) {
    if consumed < input.len() {
        input.drain(..consumed);
        *waiting = input;
    }
}
