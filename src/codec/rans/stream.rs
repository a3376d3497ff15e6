//! Asymmetric numeral systems: several states take turns at the bytes, and share one row of words.
//!
//! A state is at least [`STATE_MIN`]. To take a byte off it, its lowest bits are looked up among the places
//! of the table; where it then is too small, it is moved up by a word. The writer does the opposite, from the
//! last byte to the first.
//!
//! Both choose without a branch, since none could be foreseen: whether a word is due is as good as random.
//! States in 64 bits, of which 32 are used, keep the compiler from gathering them into vectors: those are
//! slower.

use std::hint::select_unpredictable;

use super::TABLES_MAX;
use super::table::{TOTAL, TOTAL_LOG, Table};

/// States, which take turns.
pub(super) const STATES: usize = 8;
/// What every state begins with for the writer, and ends with for the reader.
const STATE_MIN: u32 = 1 << WORD_BITS;
const WORD_BITS: u32 = 16;
/// Bytes of the states.
pub(super) const STATES_BYTES: usize = 4 * STATES;

/// Places of a table: what stands at each.
pub(super) const PLACES: usize = 1 << TOTAL_LOG;
const PLACE_MASK: u16 = (1 << TOTAL_LOG) - 1;

/// Writes what stands at each place of `table`: places of the value less one, places of it before this one,
/// the value.
pub(super) fn spread(table: &Table, places: &mut [u32; PLACES]) {
    for (value, (start, count)) in (0..).zip(table.starts.iter().zip(table.counts)) {
        let own = &mut places[usize::from(*start)..][..usize::from(count)];
        for (before, place) in (0..).zip(own) {
            *place = (u32::from(count) - 1) << 20 | before << 8 | value;
        }
    }
}

/// The places of all tables of a part, one table after the other.
pub(super) type Tables = [u32; PLACES * TABLES_MAX];

/// Takes bytes off states and words.
pub(super) struct Reader<'a> {
    states: [u32; STATES],
    words: &'a [[u8; 2]],
}

impl<'a> Reader<'a> {
    /// Returns a reader of states and words; `None` where they are cut or a state is too small.
    pub(super) fn new(coded: &'a [u8]) -> Option<Self> {
        let (states, words) = coded.split_first_chunk::<STATES_BYTES>()?;
        let mut numbers = [0; STATES];
        for (number, state) in numbers.iter_mut().zip(states.as_chunks().0) {
            *number = u32::from_le_bytes(*state);
        }
        let (words, left) = words.as_chunks();
        let fits = left.is_empty() && numbers.iter().all(|state| *state >= STATE_MIN);
        fits.then_some(Self { states: numbers, words })
    }

    /// Fills `part`; `None` unless that takes all words and leaves nothing in the states. `table_of` says
    /// which table is a byte's, by its first place: of the group of [`STATES`] bytes, the place in it, and
    /// the four bytes before.
    #[inline(always)]
    pub(super) fn fill(
        self,
        tables: &Tables,
        part: &mut [u8],
        table_of: impl Fn(usize, usize, u32) -> u16,
    ) -> Option<()> {
        let Self { states, words } = self;
        let mut states = states.map(u64::from);
        let (mut taken, mut done, mut recent) = (0, 0, 0);
        // As long as words are left for one of each state, none is looked for.
        for (turn, group) in part.as_chunks_mut::<STATES>().0.iter_mut().enumerate() {
            let Some(ahead) = words[taken..].first_chunk::<STATES>() else { break };
            let mut used = 0;
            for at in 0..STATES {
                let (table, word) = (table_of(turn, at, recent), ahead[used % STATES]);
                (group[at], used) = take(&mut states[at], tables, table, word, used);
                recent = recent << 8 | u32::from(group[at]);
            }
            taken += used;
            done += STATES;
        }
        for (at, byte) in part[done..].iter_mut().enumerate() {
            // Beyond the last word nothing comes; the end tells.
            let word = words.get(taken).copied().unwrap_or_default();
            let table = table_of((done + at) / STATES, at % STATES, recent);
            (*byte, taken) = take(&mut states[at % STATES], tables, table, word, taken);
            recent = recent << 8 | u32::from(*byte);
        }
        let is_at_end = taken == words.len() && states.iter().all(|state| *state == u64::from(STATE_MIN));
        is_at_end.then_some(())
    }
}

/// Returns the byte that a state says, and how many words were taken: the state takes one where it is small.
#[inline(always)]
fn take(state: &mut u64, tables: &Tables, table: u16, word: [u8; 2], taken: usize) -> (u8, usize) {
    let place = u64::from(tables[usize::from(table | (*state as u16 & PLACE_MASK))]);
    let next = ((place >> 20) + 1) * (*state >> TOTAL_LOG) + (place >> 8 & u64::from(PLACE_MASK));
    let is_small = next < u64::from(STATE_MIN);
    *state = select_unpredictable(is_small, next << WORD_BITS | u64::from(u16::from_le_bytes(word)), next);
    (place as u8, taken + usize::from(is_small))
}

/// How the writer puts one value on a state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    /// 2^64 over the places of the value, rounded up, or one less where that is too great.
    inverse: u64,
    count: u32,
    /// Where its places begin, and what that one less needs to be made up for.
    start: u32,
}

/// The steps of all tables of a part, one table after the other.
pub(super) type Steps = [Step; 256 * TABLES_MAX];

/// Writes the steps of the values of `table`; those of values that do not occur are not to be used.
pub(super) fn put_steps(table: &Table, steps: &mut [Step; 256]) {
    for (step, (start, count)) in steps.iter_mut().zip(table.starts.iter().zip(table.counts)) {
        let short = if count == 1 { TOTAL - 1 } else { 0 };
        let inverse = (u64::MAX / u64::from(count).max(1)).saturating_add(1);
        *step = Step { inverse, count: count.into(), start: u32::from(*start) + short };
    }
}

/// Appends the states and words of `part`; `table_of` says which table is a byte's as for the reader.
#[inline(always)]
pub(super) fn write(
    part: &[u8],
    steps: &Steps,
    words: &mut Vec<u16>,
    table_of: impl Fn(usize, usize) -> u16,
    out: &mut Vec<u8>,
) {
    // Filled from the end: each byte gives a word at most, and there is room for a window of some more.
    words.resize(words.len().max(part.len() + 2 * STATES), 0);
    let mut free = words.len();
    let mut states = [u64::from(STATE_MIN); STATES];
    let (groups, last) = part.as_chunks::<STATES>();
    let step_of = |turn, at, byte: u8| &steps[usize::from(table_of(turn, at) >> 4 | u16::from(byte))];
    for (at, byte) in last.iter().enumerate().rev() {
        let (word, is_due) = put(&mut states[at], step_of(groups.len(), at, *byte));
        words[free - 1] = word;
        free -= usize::from(is_due);
    }
    for (turn, group) in groups.iter().enumerate().rev() {
        let Some(ahead) = words[..free].last_chunk_mut::<STATES>() else { return };
        let mut used = 0;
        for at in (0..STATES).rev() {
            let (word, is_due) = put(&mut states[at], step_of(turn, at, group[at]));
            ahead[STATES - 1 - used % STATES] = word;
            used += usize::from(is_due);
        }
        free -= used;
    }
    states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()[..4]));
    out.extend(words[free..].iter().flat_map(|word| word.to_le_bytes()));
}

/// Puts a value on a state; returns a word, and whether it is due.
#[inline(always)]
fn put(state: &mut u64, step: &Step) -> (u16, bool) {
    let word = *state as u16;
    // A state below the count times 2^20 stays below 2^32.
    let is_due = *state >> 20 >= u64::from(step.count);
    let small = select_unpredictable(is_due, *state >> WORD_BITS, *state);
    let quotient = ((u128::from(small) * u128::from(step.inverse)) >> 64) as u64;
    *state = small + u64::from(step.start) + quotient * (u64::from(TOTAL) - u64::from(step.count));
    (word, is_due)
}
