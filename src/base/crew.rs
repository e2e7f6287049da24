//! Threads for work that takes a processor, or waits for a system that may be slow. Each
//! kind of work has a few threads of its own, so that it cannot keep other kinds waiting.
//!
//! tokio's own pool for blocking work is shared by everything (DNS above all), and has
//! hundreds of threads: a burst of logins there takes the processors from the threads that
//! move bytes, and a name service that hangs takes the threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one kind of work. They start with the first job.
pub struct Crew {
    name: &'static str,
    threads: usize,
    /// One permit for each job that runs or waits; callers with more jobs wait.
    room: Semaphore,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    started: usize,
}

/// The job was not done: it panicked, or no thread could be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work was not done")]
pub struct NotDone;

impl Crew {
    /// `name` is that of the threads.
    pub const fn new(name: &'static str, threads: usize) -> Self {
        Self {
            name,
            threads,
            room: Semaphore::const_new(threads * 2),
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                started: 0,
            }),
            work: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Does a job after those that came before. Dropping the future cancels the job, unless
    /// it has begun or is about to.
    ///
    /// # Errors
    /// [`NotDone`]
    pub async fn run<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let place = self.room.acquire().await.map_err(|_| NotDone)?;
        let (sender, done) = oneshot::channel();
        let job = Box::new(move || {
            // The panic hook has reported a panic; the thread goes on.
            let result = match sender.is_closed() {
                true => None,
                false => catch_unwind(AssertUnwindSafe(job)).ok(),
            };
            drop(place);
            if let Some(result) = result {
                let _ = sender.send(result); // the caller may have stopped waiting
            }
        });
        self.put(job)?;
        done.await.map_err(|_| NotDone)
    }

    fn put(&'static self, job: Job) -> Result<(), NotDone> {
        let mut state = self.state();
        if state.started < self.threads {
            let thread = std::thread::Builder::new().name(self.name.to_owned());
            match thread.spawn(|| self.work()) {
                Ok(_) => state.started += 1,
                // The threads that are there do the job.
                Err(_) if state.started > 0 => {}
                Err(_) => return Err(NotDone),
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    fn work(&self) {
        loop {
            let mut state = self.state();
            let job = loop {
                match state.jobs.pop_front() {
                    Some(job) => break job,
                    None => self.work.wait(&mut state),
                }
            };
            drop(state);
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn jobs_are_done_by_so_many_at_once_and_a_panic_ends_none() {
        static CREW: Crew = Crew::new("test", 2);
        static HERE: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let jobs = (0..100).map(|n| {
            CREW.run(move || {
                let here = HERE.fetch_add(1, Ordering::SeqCst) + 1;
                MOST.fetch_max(here, Ordering::SeqCst);
                std::thread::yield_now();
                HERE.fetch_sub(1, Ordering::SeqCst);
                assert!(n % 10 != 7, "a job that panics");
                n
            })
        });
        let results = futures_util::future::join_all(jobs).await;
        for (n, result) in results.into_iter().enumerate() {
            let expected = if n % 10 == 7 { Err(NotDone) } else { Ok(n) };
            assert_eq!(result, expected);
        }
        assert!(MOST.load(Ordering::SeqCst) <= 2);
        assert_eq!(CREW.room.available_permits(), 4);
    }
}
