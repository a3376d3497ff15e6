//! Progress as people and scripts see it.
//!
//! Work adds to counters, which never waits; a thread of its own shows them, as bars on a terminal, as plain
//! lines on any other stderr, as JSON lines on stdout. Warnings and unreadable sources are shown at once in
//! every form.

mod bars;
mod counters;
mod lines;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::args::Globals;
use super::args::global::ProgressWhen;
use super::human::between;
use super::output::Output;
use crate::base::progress::{Phase, Progress};
use crate::base::{Clock, Time};

pub use counters::Reading;

use bars::BarView;
use counters::Counters;
use lines::{JsonView, PlainView};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bars on the terminal.
    Bars,
    /// Plain lines on stderr.
    Plain,
    /// JSON lines on stdout.
    Json,
    /// Messages only, on stderr.
    MessagesPlain,
    /// Messages only, as JSON lines on stdout.
    MessagesJson,
}

impl Form {
    /// Returns the form for these options and this stderr; `term` is the variable `TERM`.
    pub fn choose(globals: &Globals, stderr_is_terminal: bool, term: Option<&str>) -> Self {
        let is_shown = match globals.progress {
            ProgressWhen::Auto => !globals.quiet,
            ProgressWhen::Always => true,
            ProgressWhen::Never => false,
        };
        let can_draw = stderr_is_terminal && term.is_some_and(|term| term != "dumb");
        match (globals.json, is_shown) {
            (true, true) => Self::Json,
            (true, false) => Self::MessagesJson,
            (false, false) => Self::MessagesPlain,
            (false, true) if can_draw => Self::Bars,
            (false, true) => Self::Plain,
        }
    }

    /// Returns the least time between two pictures, `None` when none are shown.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Bars => Some(Duration::from_millis(100)),
            Self::Plain => Some(Duration::from_secs(10)),
            Self::Json => Some(Duration::from_secs(1)),
            Self::MessagesPlain | Self::MessagesJson => None,
        }
    }
}

/// What is said at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message<'a> {
    /// A warning.
    Warning(&'a str),
    /// A source that could not be read: path and reason.
    SourceError(&'a [u8], &'a str),
}

/// Shows counters and messages in one form.
pub(super) trait View: Send {
    /// Shows the state of the current phase.
    fn show(&mut self, reading: &Reading);
    /// Shows a message.
    fn message(&mut self, message: Message<'_>);
    /// Removes what [`View::show`] left on the terminal.
    fn clear(&mut self);
}

/// Counts work and shows it.
pub struct Meter {
    core: Arc<Core>,
    interval: Option<Duration>,
    ticker: Mutex<Option<JoinHandle<()>>>,
}

struct Core {
    counters: Counters,
    clock: Box<dyn Clock>,
    view: Mutex<Box<dyn View>>,
    /// When something was shown last; the first phase begins it.
    shown: Mutex<Option<Time>>,
    over: Mutex<bool>,
    wake: Condvar,
}

impl Meter {
    /// Returns a meter that shows `form`; its thread starts with the first phase.
    pub fn start(form: Form, out: &Output) -> Arc<Self> {
        let view: Box<dyn View> = match form {
            Form::Bars => Box::new(BarView::default()),
            Form::Plain | Form::MessagesPlain => Box::new(PlainView::new(Box::new(io::stderr()))),
            Form::Json | Form::MessagesJson => Box::new(JsonView::new(out.clone())),
        };
        Arc::new(Self::new(view, form.interval(), Box::new(MonotonicClock(Instant::now()))))
    }

    fn new(view: Box<dyn View>, interval: Option<Duration>, clock: Box<dyn Clock>) -> Self {
        let core = Core {
            counters: Counters::default(),
            clock,
            view: Mutex::new(view),
            shown: Mutex::new(None),
            over: Mutex::new(false),
            wake: Condvar::new(),
        };
        Self { core: Arc::new(core), interval, ticker: Mutex::new(None) }
    }

    /// Ends the phase and the thread. Messages may still come.
    pub fn finish(&self) {
        self.end();
        *lock(&self.core.over) = true;
        self.core.wake.notify_all();
        if let Some(ticker) = lock(&self.ticker).take() {
            // It cannot panic, and nothing depends on how it ended.
            let _ = ticker.join();
        }
    }

    fn start_ticker(&self) {
        let Some(interval) = self.interval else { return };
        let mut ticker = lock(&self.ticker);
        if ticker.is_none() && !*lock(&self.core.over) {
            let core = self.core.clone();
            let thread = std::thread::Builder::new().name("progress".to_owned());
            // Without the thread there is no picture; the work goes on.
            *ticker = thread.spawn(move || core.tick_until_over(interval)).ok();
        }
    }
}

impl Core {
    fn tick_until_over(&self, interval: Duration) {
        let mut over = lock(&self.over);
        while !*over {
            let waited = self.wake.wait_timeout(over, interval);
            over = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !*over {
                drop(over);
                self.tick(interval);
                over = lock(&self.over);
            }
        }
    }

    /// Shows the counters, unless something was shown less than `interval` ago.
    fn tick(&self, interval: Duration) {
        let now = self.clock.now();
        let mut shown = lock(&self.shown);
        // A thread may be woken a little early by its timer.
        let due = shown.is_none_or(|shown| between(shown, now) + Duration::from_millis(5) >= interval);
        if !due {
            return;
        }
        if let Some(reading) = self.counters.read(now) {
            *shown = Some(now);
            drop(shown);
            lock(&self.view).show(&reading);
        }
    }
}

impl Progress for Meter {
    fn begin(&self, phase: Phase, total_files: Option<u64>, total_bytes: Option<u64>) {
        let now = self.core.clock.now();
        lock(&self.core.shown).get_or_insert(now);
        self.core.counters.begin(phase, now, total_files, total_bytes);
        self.start_ticker();
    }

    fn totals(&self, files: u64, bytes: u64) {
        self.core.counters.totals(files, bytes);
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.core.counters.advance(files, bytes);
    }

    fn stored(&self, bytes: u64) {
        self.core.counters.stored(bytes);
    }

    fn current(&self, item: &[u8]) {
        self.core.counters.current(item);
    }

    fn warn(&self, message: &str) {
        lock(&self.core.view).message(Message::Warning(message));
    }

    fn source_error(&self, path: &[u8], reason: &str) {
        lock(&self.core.view).message(Message::SourceError(path, reason));
    }

    fn end(&self) {
        self.core.counters.end();
        lock(&self.core.view).clear();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// Time since it was made: never goes back, whatever happens to the clock of the host.
#[derive(Debug)]
struct MonotonicClock(Instant);

impl Clock for MonotonicClock {
    fn now(&self) -> Time {
        let elapsed = self.0.elapsed();
        // Seconds since the start of a process: they fit.
        Time { seconds: elapsed.as_secs() as i64, nanoseconds: elapsed.subsec_nanos() }
    }
}

/// Locks; what a thread that panicked left behind is only a picture.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
