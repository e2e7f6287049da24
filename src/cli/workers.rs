//! How many threads move bytes.

use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// The runtime of a server. `workers`: what `[runtime]` says.
///
/// With a single worker, that is the calling thread: there is nobody to share work with, and a
/// runtime that could share costs every transaction up to a tenth more.
///
/// # Errors
/// The system cannot start the threads.
pub(super) fn runtime(workers: Option<usize>) -> io::Result<Runtime> {
    let mut builder = match workers.unwrap_or_else(|| usual(cores())) {
        1 => Builder::new_current_thread(),
        n => {
            let mut several = Builder::new_multi_thread();
            several.worker_threads(n);
            several
        }
    };
    builder.enable_all().build()
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Half as many as there are cores.
///
/// A transaction costs a core some 25 µs, so one worker is good for tens of
/// thousands a second, and whatever else is on the machine (applications, Postgres
/// itself) needs the other cores more. A second worker that is not needed makes
/// every transaction dearer: the two wake each other up (docs/PERFORMANCE.md).
fn usual(cores: usize) -> usize {
    (cores / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cores_and_at_least_one() {
        assert_eq!([1, 2, 3, 4, 16].map(usual), [1, 1, 1, 2, 8]);
    }

    #[test]
    fn as_many_as_are_wished_for() {
        for wished in [1, 2, 5] {
            let runtime = runtime(Some(wished)).expect("threads");
            assert_eq!(runtime.metrics().num_workers(), wished);
        }
        let left = runtime(None).expect("threads");
        assert_eq!(left.metrics().num_workers(), usual(cores()));
    }
}
