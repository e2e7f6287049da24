//! The scanners of both directions, without sockets: whatever the sizes of the
//! pieces, and whoever else uses the server connections, a client sees what it
//! would see on a Postgres of its own.

mod chunks;
mod messages;
mod postgres;
mod restore;
mod statements;
mod world;
mod zone;

/// What an idle client costs is mostly this: the task of its session, and what
/// others see of it. (The limit is no law; but it once was four times as much,
/// for what is over before a client is idle.)
#[test]
fn an_idle_session_is_small() {
    fn any<T>() -> T {
        unreachable!("only its type is looked at")
    }
    fn size<T>(_: impl FnOnce() -> T) -> usize {
        size_of::<T>()
    }
    let task = size(|| super::serve(any(), any()));
    assert!(task <= 2048, "{task} bytes");
    let seen = size_of::<super::Session>() + size_of::<super::Handle>();
    assert!(seen <= 1024, "{seen} bytes");
}
