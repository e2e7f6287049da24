//! Randomness in time, so that many proxies that wait for the same thing do not all act in
//! the same instant.

use std::time::Duration;

/// A random number in [0, 1). Neither quality nor cost matters here.
fn unit() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

/// `duration`, shortened or lengthened by up to a tenth.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.9 + 0.2 * unit())
}

/// A duration between zero and twice `duration`.
pub fn scattered(duration: Duration) -> Duration {
    duration.mul_f64(2.0 * unit())
}

/// Exponential backoff with jitter, from `first` to `last`.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits between `first` and `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// How long to wait now. The next wait is twice as long.
    pub fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.last);
        // Half of the wait is fixed, half is random.
        now.mul_f64(0.5 + 0.5 * unit())
    }

    /// Begins with the first wait again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_grows_to_its_limit_and_starts_again() {
        let (first, last) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, last);
        let waits: Vec<Duration> = (0..8).map(|_| backoff.wait()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits.iter().all(|w| *w <= last));
        assert!(waits[7] >= last / 2);
        backoff.reset();
        assert!(backoff.wait() <= first);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..100 {
            let d = jittered(Duration::from_secs(10));
            assert!((9.0..11.0).contains(&d.as_secs_f64()), "{d:?}");
        }
    }
}
