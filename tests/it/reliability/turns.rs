//! Two hosts at once, whose commands take turns at single calls of the store, as a seed says.
//!
//! A host has several threads, whose order among themselves is the system's; whose turn it is, is the seed's.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use snap::backend::record::RecordBackend;
use snap::base::SnapshotId;
use snap::maintain::forget::forget;
use snap::maintain::prune::prune;
use snap::repository::Repository;

use super::commands::busy;
use super::world::{Dice, Files, Outcome, World, prune_options, told};

/// How long a host that computes may keep the other from its call.
const PATIENCE: Duration = Duration::from_millis(100);
/// Interleavings of each two commands.
const SEEDS: u64 = 12;

type Command = fn(&World, &Arc<Repository>, &[SnapshotId]) -> Outcome;

struct State {
    holder: usize,
    ended: [bool; 2],
    /// The holder was chosen and has not called yet.
    is_due: bool,
    dice: Dice,
    /// One call in so many is followed by one of the other host.
    stay: u64,
    /// Seconds that pass between two calls, below this.
    pause: u64,
    calls: [u64; 2],
    switches: u64,
    impatient: u64,
}

/// Says whose turn it is.
struct Turns {
    state: Mutex<State>,
    moved: Condvar,
    world: Arc<World>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for a turn of host `me`, whose call is next.
    fn take(&self, me: usize) {
        let mut state = self.lock();
        loop {
            if state.ended[1 - me] {
                break;
            }
            if state.holder == me {
                let stay = state.stay;
                if state.is_due || state.dice.below(stay) > 0 {
                    break;
                }
                (state.holder, state.is_due) = (1 - me, true);
                state.switches += 1;
                self.moved.notify_all();
            }
            let calls = state.calls;
            let (woken, waited) = self.moved.wait_timeout(state, PATIENCE).unwrap();
            state = woken;
            // The holder computes, or its threads wait for those of this host.
            if waited.timed_out() && state.holder != me && state.calls == calls {
                (state.holder, state.is_due) = (me, true);
                state.impatient += 1;
            }
        }
        state.is_due = false;
        state.calls[me] += 1;
        let pause = state.pause;
        let seconds = state.dice.below(pause);
        self.world.wait(i64::try_from(seconds).unwrap());
    }

    fn end(&self, me: usize) {
        let mut state = self.lock();
        state.ended[me] = true;
        state.holder = 1 - me;
        self.moved.notify_all();
    }
}

fn run(turns: &Arc<Turns>, me: usize, command: Command, ids: &[SnapshotId]) -> Outcome {
    turns.take(me);
    let before = {
        let turns = turns.clone();
        move |_: &_| turns.take(me)
    };
    let backend = Arc::new(RecordBackend::new(Arc::new(turns.world.store.clone())).calling(before));
    let opened = told(turns.world.open_through(backend, None));
    let outcome = opened.and_then(|repository| command(&turns.world, &repository, ids));
    turns.end(me);
    outcome
}

/// What may become of the two commands.
struct Pair {
    name: &'static str,
    commands: [Command; 2],
    /// Whether a failure is a right answer of the first and of the second command.
    may_fail: [fn(&str) -> bool; 2],
    /// Which of the commands makes a snapshot.
    backups: [bool; 2],
    /// The second command forgets two snapshots.
    forgets: bool,
}

/// Runs the two commands by turns, in many orders, and fails when anything that was committed is lost.
fn sweep(seed: u64, pair: &Pair) {
    let (world, mut files, dice) = busy(seed);
    dice.change(&mut files);
    world.write_source(&files);
    let (start, ids): (_, Vec<SnapshotId>) = (world.store.state(), world.model.keys().copied().collect());
    let gone: BTreeSet<SnapshotId> = ids.iter().filter(|_| pair.forgets).take(2).copied().collect();
    let (mut switches, mut impatient, mut succeeded) = (0, 0, [0, 0]);
    for number in 0..SEEDS {
        let context = format!("seed {seed}, number {number}: {}", pair.name);
        let state = State {
            holder: 0,
            ended: [false; 2],
            is_due: false,
            dice: Dice::new(seed * 1_000 + number),
            stay: [2, 3, 6][number as usize % 3],
            pause: [1, 3, 12, 60][number as usize % 4],
            calls: [0; 2],
            switches: 0,
            impatient: 0,
        };
        let world = Arc::new(world.at(start.clone()));
        let turns = Arc::new(Turns { state: Mutex::new(state), moved: Condvar::new(), world: world.clone() });
        let outcomes = std::thread::scope(|scope| {
            let threads = [0, 1].map(|me| {
                let (turns, ids) = (&turns, &ids);
                scope.spawn(move || run(turns, me, pair.commands[me], ids))
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let repository = world.open(None);
        world.require_whole(&repository, Some(&files), &gone, &context);
        world.require_sound(&repository, &context);
        require_outcomes(pair, &world, &outcomes, &files, &context);
        succeeded = [0, 1].map(|me| succeeded[me] + u64::from(outcomes[me].is_ok()));
        world.wait(100_000);
        world.require_no_garbage(&context);
        world.require_whole(&world.open(None), Some(&files), &gone, &context);
        let state = turns.lock();
        assert!(state.calls.iter().all(|calls| *calls > 5), "{context}: {:?} calls", state.calls);
        (switches, impatient) = (switches + state.switches, impatient + state.impatient);
    }
    println!(
        "seed {seed}: {}: {SEEDS} interleavings, {switches} switches, {impatient} of no patience, \
         {succeeded:?} succeeded",
        pair.name
    );
    assert!(switches > SEEDS && succeeded.iter().all(|count| *count > 0), "{switches}, {succeeded:?}");
}

fn require_outcomes(pair: &Pair, world: &World, outcomes: &[Outcome; 2], files: &Files, context: &str) {
    for me in [0, 1] {
        if let Err(error) = &outcomes[me] {
            assert!((pair.may_fail[me])(error), "{context}: {error}");
        }
    }
    if pair.backups.iter().zip(outcomes).any(|(is_backup, outcome)| *is_backup && outcome.is_ok()) {
        world.require_new(&world.open(None), files, context);
    }
}

fn back_up(world: &World, repository: &Arc<Repository>, _: &[SnapshotId]) -> Outcome {
    world.backup_in(repository, "host").map(drop)
}

fn prune_now(_: &World, repository: &Arc<Repository>, _: &[SnapshotId]) -> Outcome {
    told(prune(repository, prune_options(50))).map(drop)
}

/// Prunes twice: the second acts on the plans of the first once their grace has passed.
fn prune_twice(_: &World, repository: &Arc<Repository>, _: &[SnapshotId]) -> Outcome {
    told(prune(repository, prune_options(50)))?;
    told(prune(repository, prune_options(50))).map(drop)
}

/// Restores all that nobody forgets; what it restores is right, whether it gets through or not.
fn restore_all(world: &World, repository: &Arc<Repository>, ids: &[SnapshotId]) -> Outcome {
    for id in ids {
        let found = world.restore(repository, id)?;
        assert!(found == world.model[id], "snapshot {} restores to something else", id.short());
    }
    Ok(())
}

fn forget_two(_: &World, repository: &Arc<Repository>, ids: &[SnapshotId]) -> Outcome {
    told(forget(repository, &ids[..2], false)).map(drop)
}

fn forget_and_prune(world: &World, repository: &Arc<Repository>, ids: &[SnapshotId]) -> Outcome {
    forget_two(world, repository, ids)?;
    prune_now(world, repository, ids)
}

fn never(_: &str) -> bool {
    false
}

/// A maintainer finds another one, or was too slow and lost its lease.
fn is_of_lease(error: &str) -> bool {
    error.contains("locked by") || error.contains("the lease was lost")
}

/// A backup that took longer than half the grace of a prune.
fn is_overtaken(error: &str) -> bool {
    error.contains("took away packs")
}

fn pair(name: &'static str, commands: [Command; 2], may_fail: [fn(&str) -> bool; 2]) -> Pair {
    let backups = [name.starts_with("backup"), name.ends_with("backup")];
    Pair { name, commands, may_fail, backups, forgets: false }
}

#[test]
fn a_backup_and_a_prune_by_turns_lose_nothing() {
    sweep(71, &pair("backup, prune", [back_up, prune_now], [is_overtaken, is_of_lease]));
}

#[test]
fn a_backup_and_two_prunes_by_turns_lose_nothing() {
    sweep(72, &pair("backup, prune twice", [back_up, prune_twice], [is_overtaken, is_of_lease]));
}

#[test]
fn a_restore_and_two_prunes_by_turns_lose_nothing() {
    sweep(73, &pair("restore, prune twice", [restore_all, prune_twice], [never, is_of_lease]));
}

#[test]
fn two_prunes_by_turns_lose_nothing() {
    sweep(74, &pair("prune, prune", [prune_twice, prune_twice], [is_of_lease, is_of_lease]));
}

#[test]
fn two_backups_by_turns_both_succeed() {
    sweep(75, &pair("backup, backup", [back_up, back_up], [never, never]));
}

#[test]
fn a_backup_and_a_forget_of_what_it_leans_on_by_turns_lose_nothing() {
    let pair = pair("backup, forget", [back_up, forget_two], [never, never]);
    sweep(76, &Pair { forgets: true, ..pair });
}

#[test]
fn a_backup_and_a_forget_with_a_prune_by_turns_lose_nothing() {
    let pair = pair("backup, forget and prune", [back_up, forget_and_prune], [is_overtaken, is_of_lease]);
    sweep(77, &Pair { forgets: true, ..pair });
}
