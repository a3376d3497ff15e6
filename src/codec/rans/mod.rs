//! The coder *rans*: each byte by how often its value occurs, to a fraction of a bit, where that may depend
//! on a context (`format-spec/06-blocks.md` 6.5).

mod fit;
mod stream;
mod table;

use std::cell::RefCell;

use fit::{Counts, Fit};
use stream::{PLACES, Reader, STATES, STATES_BYTES, Step, Steps, Tables, put_steps, spread, write};
use table::{TOTAL_LOG, Table};

/// Most tables of one part.
const TABLES_MAX: usize = 16;

/// What tells which table a byte is coded by: a byte for each run of so many bytes of the part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contexts<'a> {
    /// As many as there are runs.
    pub(super) bytes: &'a [u8],
    /// Length of a run.
    pub(super) run: usize,
}

/// Returns the contexts of a part, in runs of one, that has no others: the mean of the four bytes before.
pub(super) fn contexts_before(part: &[u8]) -> Vec<u8> {
    let mut recent = 0;
    let next = |byte: &u8| {
        let context = mean(recent);
        recent = recent << 8 | u32::from(*byte);
        context
    };
    part.iter().map(next).collect()
}

/// Returns the mean of four bytes.
fn mean(bytes: u32) -> u8 {
    let sum: u32 = bytes.to_le_bytes().into_iter().map(u32::from).sum();
    (sum / 4) as u8
}

thread_local! {
    static TABLES: RefCell<Box<Tables>> = RefCell::new(Box::new([0; PLACES * TABLES_MAX]));
    /// The first place of the table of each byte of a part.
    static TABLE_OF: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
    static STEPS: RefCell<Box<Steps>> = RefCell::new(Box::new([Step::default(); 256 * TABLES_MAX]));
    static WORDS: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

/// Returns for each context the number of its table: how many bounds are not above it.
fn classes(bounds: &[u8]) -> [u8; 256] {
    let mut classes = [0; 256];
    for bound in bounds {
        classes[usize::from(*bound)..].iter_mut().for_each(|class| *class += 1);
    }
    classes
}

/// Writes the bytes that `coded` stands for into `part`; `None` where it does not stand for as many. Without
/// contexts they are those of [`contexts_before`].
pub(super) fn decode(coded: &[u8], contexts: Option<Contexts>, part: &mut [u8]) -> Option<()> {
    let (number, rest) = coded.split_first()?;
    let number = usize::from(*number);
    let (bounds, mut rest) = rest.split_at_checked(number.checked_sub(1)?)?;
    if number > TABLES_MAX || !bounds.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let classes = classes(bounds);
    TABLES.with_borrow_mut(|tables| {
        for places in tables.as_chunks_mut().0.iter_mut().take(number) {
            spread(&Table::decode(&mut rest)?, places);
        }
        let reader = Reader::new(rest)?;
        match contexts {
            _ if number == 1 => reader.fill(tables, part, |_, _, _| 0),
            None => reader.fill(tables, part, |_, _, recent| first_place(classes[usize::from(mean(recent))])),
            Some(contexts) => with_tables_of(contexts, &classes, |table_of| {
                reader.fill(tables, part, |turn, at, _| table_of.get(turn).map_or(0, |group| group[at]))
            }),
        }
    })
}

/// Returns the first place of a table among those of all.
fn first_place(table: u8) -> u16 {
    u16::from(table) << TOTAL_LOG
}

/// Calls `work` with the first place of the table of each byte of a part that has these contexts.
fn with_tables_of<T>(contexts: Contexts, classes: &[u8; 256], work: impl FnOnce(&[[u16; STATES]]) -> T) -> T {
    TABLE_OF.with_borrow_mut(|table_of| {
        table_of.clear();
        for context in contexts.bytes {
            let place = first_place(classes[usize::from(*context)]);
            table_of.extend(std::iter::repeat_n(place, contexts.run));
        }
        table_of.resize(table_of.len().next_multiple_of(STATES), 0);
        work(table_of.as_chunks().0)
    })
}

/// How a part is coded, before it is.
pub(super) struct Plan {
    bounds: Vec<u8>,
    fits: Vec<Fit>,
    /// Bytes that it takes, but for one or two.
    pub(super) bytes: usize,
}

impl Plan {
    /// Returns the plan of fewest bytes for a part that is not empty; `None` where there is none.
    pub(super) fn of(part: &[u8], contexts: Option<Contexts>) -> Option<Self> {
        let finest = contexts.map_or(vec![], |contexts| finest_bounds(contexts.bytes));
        let counts = counts(part, contexts, &finest);
        let mut best: Option<(f64, Self)> = None;
        let mut step = 1;
        loop {
            let bounds: Vec<u8> = finest.iter().skip(step - 1).step_by(step).copied().collect();
            let fits: Option<Vec<Fit>> = counts.chunks(step).map(|some| Fit::of(&sum(some))).collect();
            let fits = fits?;
            let head = 8 * (1 + bounds.len() + STATES_BYTES / 2);
            let bits = fits.iter().map(|fit| fit.bits).sum::<f64>() + head as f64;
            if best.as_ref().is_none_or(|(fewest, _)| bits < *fewest) {
                best = Some((bits, Self { bounds, fits, bytes: (bits / 8.0) as usize }));
            }
            if step >= counts.len() {
                return best.map(|(_, plan)| plan);
            }
            step *= 2;
        }
    }

    /// Appends `part` as coded by this plan of it.
    pub(super) fn encode(&self, part: &[u8], contexts: Option<Contexts>, out: &mut Vec<u8>) {
        out.push(self.fits.len().to_le_bytes()[0]);
        out.extend_from_slice(&self.bounds);
        self.fits.iter().for_each(|fit| Table::encode(&fit.runs, out));
        STEPS.with_borrow_mut(|steps| {
            for (fit, steps) in self.fits.iter().zip(steps.as_chunks_mut().0) {
                put_steps(&fit.table, steps);
            }
            WORDS.with_borrow_mut(|words| match contexts {
                Some(contexts) if self.fits.len() > 1 => {
                    with_tables_of(contexts, &classes(&self.bounds), |table_of| {
                        let table_of =
                            |turn: usize, at: usize| table_of.get(turn).map_or(0, |group| group[at]);
                        write(part, steps, words, table_of, out);
                    });
                }
                _ => write(part, steps, words, |_, _| 0, out),
            });
        });
    }
}

/// Returns bounds between contexts: between all that occur, or so that each table is for about as many bytes.
fn finest_bounds(contexts: &[u8]) -> Vec<u8> {
    let mut counts: Counts = [0; 256];
    contexts.iter().for_each(|context| counts[usize::from(*context)] += 1);
    let present = counts.iter().filter(|count| **count > 0).count();
    let (mut bounds, mut last, mut below) = (Vec::new(), None, 0);
    for (rank, (value, count)) in (0..=u8::MAX).zip(counts).filter(|(_, count)| *count > 0).enumerate() {
        let count = usize::try_from(count).unwrap_or(0);
        let class = match present {
            ..=TABLES_MAX => rank,
            _ => (below + count / 2) * TABLES_MAX / contexts.len(),
        };
        if last.is_some_and(|last| class > last) {
            bounds.push(value);
        }
        last = Some(class);
        below += count;
    }
    bounds
}

/// Counts how often every byte occurs, for each table.
fn counts(part: &[u8], contexts: Option<Contexts>, bounds: &[u8]) -> Vec<Counts> {
    let classes = classes(bounds);
    let mut counts = vec![[0; 256]; bounds.len() + 1];
    let mut add = |class: u8, run: &[u8]| {
        let counts = &mut counts[usize::from(class)];
        run.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    };
    match contexts {
        None => add(0, part),
        Some(Contexts { bytes, run }) => {
            let runs = bytes.iter().zip(part.chunks_exact(run));
            runs.for_each(|(context, run)| add(classes[usize::from(*context)], run));
        }
    }
    counts
}

fn sum(counts: &[Counts]) -> Counts {
    let mut sum = [0; 256];
    for counts in counts {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sum
}

#[cfg(test)]
mod tests;
