//! How many threads move bytes.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

use super::Failure;

/// The variable of tokio, which would panic on a value that it cannot read.
const VARIABLE: &str = "TOKIO_WORKER_THREADS";
const MOST: usize = 1024;

/// The runtime of a server, with [`workers`] of them.
///
/// With a single worker, that is the calling thread: there is nobody to share work with, and a
/// runtime that could share costs every transaction up to a tenth more.
///
/// # Errors
/// The variable is no number of threads, or the system cannot start them.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let mut builder = match workers()? {
        1 => Builder::new_current_thread(),
        n => {
            let mut several = Builder::new_multi_thread();
            several.worker_threads(n);
            several
        }
    };
    Ok(builder.enable_all().build()?)
}

/// The number of threads: what [`VARIABLE`] says, or else half as many as there are cores.
///
/// A transaction costs a core some 25 µs, so one worker is good for tens of
/// thousands a second, and whatever else is on the machine (applications, Postgres
/// itself) needs the other cores more. A second worker that is not needed makes
/// every transaction dearer: the two wake each other up (docs/PERFORMANCE.md).
///
/// # Errors
/// The variable is no number of threads.
fn workers() -> Result<usize, Failure> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = std::env::var_os(VARIABLE);
    count(
        wanted.as_deref().map(|w| w.to_string_lossy()).as_deref(),
        cores,
    )
    .map_err(Failure::Usage)
}

fn count(wanted: Option<&str>, cores: usize) -> Result<usize, String> {
    let Some(wanted) = wanted else {
        return Ok((cores / 2).max(1));
    };
    match wanted.trim().parse() {
        Ok(n @ 1..=MOST) => Ok(n),
        _ => Err(format!(
            "{VARIABLE} is {wanted:?}; set it to a number of threads from 1 to {MOST}, or unset it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cores_and_at_least_one() {
        let of = |cores| count(None, cores).expect("a number");
        assert_eq!([1, 2, 3, 4, 16].map(of), [1, 1, 1, 2, 8]);
    }

    #[test]
    fn as_many_as_are_wished_for() {
        assert_eq!(count(Some("4"), 2), Ok(4));
        assert_eq!(count(Some(" 1 "), 64), Ok(1));
        for wrong in ["0", "", "two", "-1", "1025"] {
            let error = count(Some(wrong), 2).expect_err("refused");
            assert!(
                error.contains(wrong) && error.contains("1 to 1024"),
                "{error}"
            );
        }
    }
}
