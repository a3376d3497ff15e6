//! What the work has done so far, counted without waiting.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::lock;
use crate::base::Time;
use crate::base::escape::escape_name;
use crate::base::parse::{format_duration, format_rate, format_size};
use crate::base::progress::Phase;
use crate::cli::human::{self, between};

/// A total that is not known yet.
const UNKNOWN: u64 = u64::MAX;
/// Bytes kept of the item worked on.
const CURRENT_MAX_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Counters {
    phase: Mutex<Option<(Phase, Time)>>,
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    current: Mutex<Vec<u8>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            phase: Mutex::new(None),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total_files: AtomicU64::new(UNKNOWN),
            total_bytes: AtomicU64::new(UNKNOWN),
            stored_bytes: AtomicU64::new(0),
            current: Mutex::new(Vec::new()),
        }
    }
}

impl Counters {
    pub(super) fn begin(&self, phase: Phase, now: Time, files: Option<u64>, bytes: Option<u64>) {
        let mut current_phase = lock(&self.phase);
        for counter in [&self.files, &self.bytes, &self.stored_bytes] {
            counter.store(0, Ordering::Relaxed);
        }
        self.total_files.store(files.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.total_bytes.store(bytes.unwrap_or(UNKNOWN), Ordering::Relaxed);
        lock(&self.current).clear();
        *current_phase = Some((phase, now));
    }

    pub(super) fn totals(&self, files: u64, bytes: u64) {
        self.total_files.store(files, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn stored(&self, bytes: u64) {
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Keeps `item` unless another thread is at it just now: any recent one will do.
    pub(super) fn current(&self, item: &[u8]) {
        if let Ok(mut current) = self.current.try_lock() {
            current.clear();
            current.extend_from_slice(&item[..item.len().min(CURRENT_MAX_BYTES)]);
        }
    }

    pub(super) fn end(&self) {
        *lock(&self.phase) = None;
    }

    /// Returns the state now, `None` between phases.
    pub(super) fn read(&self, now: Time) -> Option<Reading> {
        let (phase, began) = (*lock(&self.phase))?;
        let known = |total: &AtomicU64| Some(total.load(Ordering::Relaxed)).filter(|&total| total != UNKNOWN);
        let current = lock(&self.current).clone();
        Some(Reading {
            phase,
            elapsed: between(began, now),
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_files: known(&self.total_files),
            total_bytes: known(&self.total_bytes),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
            current,
        })
    }
}

/// The state of a phase at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What is being done.
    pub phase: Phase,
    /// Since the phase began.
    pub elapsed: Duration,
    /// Files done.
    pub files: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Files in all, when known.
    pub total_files: Option<u64>,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
    /// Bytes that went to the repository.
    pub stored_bytes: u64,
    /// What is being worked on; empty when nothing was named.
    pub current: Vec<u8>,
}

impl Reading {
    /// Returns the mean rate since the phase began, `None` in its first moments.
    pub fn bytes_per_second(&self) -> Option<u64> {
        let seconds = self.elapsed.as_secs_f64();
        // Saturates, which is as good as any answer there.
        (seconds >= 0.1).then(|| (self.bytes as f64 / seconds) as u64)
    }

    /// Returns the time left at the mean rate, `None` while totals are unknown or nothing is done.
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.total_bytes?.saturating_sub(self.bytes);
        let rate = self.bytes_per_second().filter(|&rate| rate > 0)?;
        Some(left.div_ceil(rate))
    }

    /// Returns the word for what is counted beside bytes.
    fn unit(&self) -> &'static str {
        match self.phase {
            Phase::Backup | Phase::Restore => "file",
            Phase::Check | Phase::Repack => "pack",
            Phase::Mark | Phase::Copy => "snapshot",
            Phase::Index | Phase::Delete => "object",
        }
    }

    /// Returns counts, share, rate and time left for people.
    pub(super) fn amounts(&self) -> String {
        let mut parts = Vec::new();
        match self.total_files {
            Some(total) if total > 0 => {
                parts.push(format!("{}/{}", self.files, human::count(total, self.unit())));
            }
            _ if self.files > 0 => parts.push(human::count(self.files, self.unit())),
            _ => {}
        }
        if matches!(self.phase, Phase::Mark | Phase::Index | Phase::Delete | Phase::Copy) && self.bytes == 0 {
            return parts.join(", ");
        }
        match self.total_bytes {
            Some(total) if total > 0 => {
                let percent = u128::from(self.bytes.min(total)) * 100 / u128::from(total);
                parts.push(format!("{} of {} ({percent}%)", format_size(self.bytes), format_size(total)));
            }
            _ => parts.push(format_size(self.bytes)),
        }
        if self.bytes_per_second().is_some() {
            parts.push(format_rate(self.bytes, self.elapsed));
        }
        if let Some(seconds) = self.seconds_left() {
            parts.push(format!("{} left", format_duration(Duration::from_secs(seconds))));
        }
        parts.join(", ")
    }

    /// Returns what was stored and what is being worked on, for people; empty when neither is known.
    pub(super) fn details(&self) -> String {
        let mut parts = Vec::new();
        if self.stored_bytes > 0 {
            parts.push(format!("stored {}", format_size(self.stored_bytes)));
        }
        if !self.current.is_empty() {
            parts.push(escape_name(&self.current));
        }
        parts.join(", ")
    }
}
