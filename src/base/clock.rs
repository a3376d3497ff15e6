//! Time and randomness, passed in so that a test can hold both still.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time: seconds since 1970 UTC and nanoseconds below one billion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// Returns the time at whole `seconds`.
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// Returns the seconds from `earlier` to this time, negative when it is later.
    pub fn seconds_since(&self, earlier: Time) -> i64 {
        self.seconds.saturating_sub(earlier.seconds)
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: after.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self { seconds: -whole, nanoseconds: 0 },
                    nanos => Self { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanos },
                }
            }
        }
    }
}

/// Tells the time of this host.
pub trait Clock: Send + Sync + Debug {
    /// Returns the time now.
    fn now(&self) -> Time;
}

/// Gives random bytes fit for keys and nonces.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        SystemTime::now().into()
    }
}

/// The random generator of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Fills `bytes`. Ends the process when the system has no randomness: nothing safe can follow.
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// Reproducible bytes from a seed, for tests and vectors. Never for a real repository.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// Returns a generator that gives the same bytes for the same `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let draw = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"snap seeded entropy").update(&self.seed.to_le_bytes());
        hasher.update(&draw.to_le_bytes()).finalize_xof().fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_before_1970_keep_positive_nanoseconds() {
        let time = Time::from(UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(time, Time { seconds: -2, nanoseconds: 500_000_000 });
    }
}
