//! The thread on which the connections of a store live.
//!
//! The vault's work is done on threads that may wait, one statement after the other. They
//! wait here for what this thread receives. The threads that move bytes do none of it,
//! and a store works where there is no other runtime at all.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub struct Reactor {
    handle: Handle,
    /// The thread ends when this is dropped, and with it what runs there.
    _running: oneshot::Sender<()>,
}

impl Reactor {
    pub fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("pgvalet-store".to_owned())
            .spawn(move || {
                let _ = runtime.block_on(dropped);
            })?;
        Ok(Arc::new(Self {
            handle,
            _running: running,
        }))
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for a future, on a thread that may wait.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}
