//! `/events`: the status and the load of the pools, sent to those who watch as it changes.
//!
//! The status is made once a second for all watchers together, on a thread for slow work. A
//! watcher that reads slowly gets the newest state when it comes to it; nothing queues for it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, body::Bytes};
use futures_util::stream;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::doorkeeper::{Action, Caller};
use super::history::History;
use super::http::Admin;
use super::{Status, StatusSource};

/// How many may watch. One more takes the place of the one that has watched longest.
const WATCHERS: usize = 16;

/// Between two readings.
const PACE: Duration = Duration::from_secs(1);

/// After a reading that took long, so many times as long is waited: it takes no more than
/// this part of a core.
const SHARE: u32 = 10;

/// What there is to send to each watcher.
#[derive(Clone, Default)]
struct Beat {
    status: Bytes,
    sample: Bytes,
}

/// Those who watch, and what is remembered for them.
pub(super) struct Watchers {
    beats: watch::Sender<Beat>,
    history: Mutex<History>,
    places: Mutex<VecDeque<oneshot::Sender<()>>>,
    closing: watch::Receiver<bool>,
}

impl Watchers {
    /// They are told when `closing` becomes true.
    pub fn new(closing: watch::Receiver<bool>) -> Self {
        Self {
            beats: watch::Sender::default(),
            history: Mutex::default(),
            places: Mutex::default(),
            closing,
        }
    }

    /// Reads the pools once a second, and tells those who watch. Never ends.
    pub async fn run(&self, source: &Arc<dyn StatusSource>) {
        let mut tick = interval(PACE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let complete = self.history.lock().read(&source.loads());
            if self.beats.receiver_count() == 0 {
                continue;
            }
            let began = Instant::now();
            let status = status(source).await;
            let sample = complete.then(|| frame("sample", &self.history.lock().last()));
            self.beats.send_modify(|beat| {
                beat.status = status.unwrap_or_default();
                beat.sample = sample.unwrap_or_else(|| beat.sample.clone());
            });
            sleep((began.elapsed() * SHARE).saturating_sub(PACE)).await;
        }
    }

    /// A place for one more watcher; resolves when another needs it.
    fn place(&self) -> oneshot::Receiver<()> {
        let (leave, left) = oneshot::channel();
        let mut places = self.places.lock();
        places.retain(|place| !place.is_closed());
        if places.len() >= WATCHERS {
            places.pop_front();
        }
        places.push_back(leave);
        left
    }
}

/// The event of the status as it is now.
async fn status(source: &Arc<dyn StatusSource>) -> Option<Bytes> {
    let source = source.clone();
    let made = spawn_blocking(move || frame::<Status>("status", &source.status()));
    made.await.ok() // not so where the runtime ends
}

/// One event. JSON has no line ends, which would end it.
fn frame<T: Serialize>(event: &str, data: &T) -> Bytes {
    let mut bytes = format!("event: {event}\ndata: ").into_bytes();
    if serde_json::to_writer(&mut bytes, data).is_err() {
        return Bytes::new();
    }
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

/// One who watches.
struct Watcher {
    beats: watch::Receiver<Beat>,
    left: oneshot::Receiver<()>,
    closing: watch::Receiver<bool>,
    /// What it was sent last.
    sent: Beat,
    /// What it is sent at the beginning.
    hello: Option<Bytes>,
}

impl Watcher {
    /// The next events, and what is left of the watcher: nothing after its goodbye.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        if let Some(hello) = self.hello.take() {
            return (hello, Some(self));
        }
        loop {
            tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return (bye("the proxy is stopping"), None),
                _ = &mut self.left => return (bye("too many pages watch this proxy"), None),
                changed = self.beats.changed() => if changed.is_err() {
                    return (Bytes::new(), None);
                },
            }
            let news = self.news();
            if !news.is_empty() {
                return (news, Some(self));
            }
        }
    }

    /// What it has not been sent yet.
    fn news(&mut self) -> Bytes {
        let beat = self.beats.borrow_and_update().clone();
        let mut news = Vec::new();
        for (now, before) in [
            (&beat.status, &self.sent.status),
            (&beat.sample, &self.sent.sample),
        ] {
            if now != before {
                news.extend_from_slice(now);
            }
        }
        self.sent = beat;
        news.into()
    }
}

fn bye(why: &str) -> Bytes {
    frame("bye", &json!({ "why": why }))
}

/// Begins with what the caller may do, all that is remembered, and the status.
pub(super) async fn events(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let watchers = &admin.watchers;
    let may_change = admin.keeper.judge(caller, &headers, Action::Change).is_ok();
    let left = watchers.place();
    let beats = watchers.beats.subscribe();
    let status = status(&admin.source).await.unwrap_or_default();
    let sample = beats.borrow().sample.clone();
    let hello = [
        frame("hello", &json!({ "may_change": may_change })),
        frame("history", &watchers.history.lock().whole()),
        status.clone(),
    ];
    let watcher = Watcher {
        beats,
        left,
        closing: watchers.closing.clone(),
        sent: Beat { status, sample },
        hello: Some(hello.concat().into()),
    };
    let events = stream::unfold(Some(watcher), async |watcher| {
        let (events, rest) = watcher?.next().await;
        Some((Ok::<_, Infallible>(events), rest))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
