//! Threads that look ahead of the walk. What they find is taken in the order of the walk; what they have not
//! begun when the walk comes to it, the walk does itself, so that it never waits for a thread without work in
//! hand.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads of one walk.
pub(super) const THREADS_MAX: usize = 8;

type Job = Box<dyn FnOnce() + Send>;
type Work<T> = Box<dyn FnOnce() -> T + Send>;

enum State<T> {
    Waiting(Work<T>),
    Begun,
    Done(T),
    /// Taken, or the thread that began it is gone.
    Gone,
}

struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the work unless somebody has; returns it.
    fn begin(&self) -> Option<Work<T>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Begun) {
            State::Waiting(work) => Some(work),
            other => {
                *state = other;
                None
            }
        }
    }

    fn end(&self, state: State<T>) {
        *self.lock() = state;
        self.changed.notify_all();
    }
}

/// Says that nothing will come of work whose thread ends before the work does.
struct Begun<'s, T>(&'s Slot<T>);

impl<T> Drop for Begun<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Begun) {
            *state = State::Gone;
            self.0.changed.notify_all();
        }
    }
}

/// Counts work from its beginning until it is taken or dropped.
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a thread finds out, or the walk when it comes to it.
pub(super) struct Later<T> {
    slot: Arc<Slot<T>>,
    _ticket: Ticket,
}

impl<T> fmt::Debug for Later<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Later").finish_non_exhaustive()
    }
}

impl<T> Drop for Later<T> {
    /// What nobody waits for any more need not be done.
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if matches!(*state, State::Waiting(_)) {
            *state = State::Gone;
        }
    }
}

impl<T> Later<T> {
    /// Returns what was found; does the work when no thread has begun it. `None` when its thread is gone.
    pub(super) fn take(self) -> Option<T> {
        if let Some(work) = self.slot.begin() {
            return Some(work());
        }
        let mut state = self.slot.lock();
        while matches!(*state, State::Begun) {
            state = self.slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *state, State::Gone) {
            State::Done(found) => Some(found),
            _ => None,
        }
    }
}

/// The threads of one walk; they end with it.
pub(super) struct Ahead {
    queue: Option<SyncSender<Job>>,
    pending: Arc<AtomicUsize>,
    /// Pieces of work that are begun and not yet taken: each holds one directory open and the entries of one
    /// batch.
    pieces_max: usize,
    thread_count: usize,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ahead").field("thread_count", &self.thread_count).finish_non_exhaustive()
    }
}

impl Ahead {
    /// Returns `thread_count` threads, which start when there is work; none at all look at nothing ahead.
    pub(super) fn new(thread_count: usize, pieces_max: usize) -> Self {
        let thread_count = thread_count.min(THREADS_MAX);
        Self { queue: None, pending: Arc::default(), pieces_max, thread_count }
    }

    /// Tells whether more may be begun ahead.
    pub(super) fn has_room(&self) -> bool {
        self.thread_count > 0 && self.pending.load(Ordering::Relaxed) < self.pieces_max
    }

    /// Has a thread do `work`.
    pub(super) fn begin<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Later<T> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let slot =
            Arc::new(Slot { state: Mutex::new(State::Waiting(Box::new(work))), changed: Condvar::new() });
        let theirs = slot.clone();
        let job = move || {
            if let Some(work) = theirs.begin() {
                let begun = Begun(&theirs);
                theirs.end(State::Done(work()));
                drop(begun);
            }
        };
        let (thread_count, queue_max) = (self.thread_count, 2 * self.pieces_max);
        let queue = self.queue.get_or_insert_with(|| start(thread_count, queue_max));
        // Where the queue is full of what was taken meanwhile, the walk does this itself.
        let _ = queue.try_send(Box::new(job));
        Later { slot, _ticket: Ticket(self.pending.clone()) }
    }
}

/// Starts the threads; those that do not start are done without.
fn start(thread_count: usize, queue_max: usize) -> SyncSender<Job> {
    let (queue, jobs) = sync_channel::<Job>(queue_max);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..thread_count {
        let jobs = jobs.clone();
        let _ = std::thread::Builder::new().name("walk".into()).spawn(move || run(&jobs));
    }
    queue
}

fn run(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_whoever_does_it() {
        for threads in [0, 1, 8] {
            let mut ahead = Ahead::new(threads, 64);
            let done = Arc::new(AtomicUsize::new(0));
            let work = |number: usize| {
                let done = done.clone();
                move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    number
                }
            };
            let begun: Vec<_> = (0..1_000).map(|number| ahead.begin(work(number))).collect();
            assert!(!ahead.has_room());
            for (number, later) in begun.into_iter().enumerate() {
                assert_eq!(later.take(), Some(number), "{threads} threads");
            }
            assert_eq!(done.load(Ordering::Relaxed), 1_000);
            assert_eq!(ahead.has_room(), threads > 0);
        }
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let slot: Slot<u8> = Slot { state: Mutex::new(State::Begun), changed: Condvar::new() };
        drop(Begun(&slot));
        let later = Later { slot: Arc::new(slot), _ticket: Ticket(Arc::new(AtomicUsize::new(1))) };
        assert_eq!(later.take(), None);
    }
}
