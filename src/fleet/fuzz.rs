//! What another replica, or a client, may send: see `crate::fuzz`.

use std::sync::LazyLock;

use futures_util::FutureExt;
use tokio::io::{join, sink};

use super::channel::hear;
use super::key::FleetKey;
use super::mark::Marks;
use super::request::Request;
use super::sealed::Seal;

struct Replica {
    key: FleetKey,
    seal: Seal,
    marks: Marks,
}

static REPLICA: LazyLock<Replica> = LazyLock::new(|| {
    let key = FleetKey::of(1);
    Replica {
        seal: Seal::new(&key).expect("a cipher"),
        marks: Marks::new(&key).expect("a key"),
        key,
    }
});

/// Bytes of somebody who has not the key: as a cancel key, as a request, and as what a request
/// holds.
pub fn fleet(data: &[u8]) {
    let Replica { key, seal, marks } = &*REPLICA;
    assert_eq!(seal.open(7, data), None);
    if let Some(short) = data.first_chunk::<4>() {
        let pid = marks.pid(7, *short, ([127, 0, 0, 1], 1).into());
        assert!(pid.cast_signed() >= 0);
    }
    if let Some(request) = Request::read(data) {
        assert_eq!(request.to_bytes(), data);
    }
    // Everything is there, so nothing is waited for.
    let heard = hear(join(data, sink()), key).now_or_never();
    assert!(heard.is_some_and(|heard| heard.is_err()));
}
