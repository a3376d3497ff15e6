//! Cut points of one stretch of a file: found by many threads, and the same that one would find.
//!
//! Where a chunk ends depends only on where it begins and on the bytes from there on. So several threads cut
//! from places of their own choice; where the true line of cuts meets one of theirs, the rest of theirs is
//! true as well. Two lines meet after a few chunks, as their cuts are made by content. In content that makes
//! no cuts (zeros) they may never meet, and the true line is then cut alone.

use rayon::prelude::*;

use super::segments::{Place, Segments};
use crate::chunker::Chunker;
use crate::codec::Hint;

/// What one thread cuts at least, so that a line of its own pays.
const STRETCH_MIN_BYTES: usize = 1 << 20;

/// A chunk that is cut and not yet hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) length: usize,
    pub(super) hint: Hint,
    pub(super) place: Option<Place>,
}

/// Bytes of a file from one of its cuts on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'b> {
    pub(super) bytes: &'b [u8],
    /// Where they begin in the file.
    pub(super) start: u64,
    /// The file ends with them.
    pub(super) at_end: bool,
}

/// How a file is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) chunker: &'a Chunker,
    pub(super) segments: &'a Segments,
}

impl Rules<'_> {
    /// Returns the chunk that begins at byte `at` of the window; `None` when more bytes are needed to know,
    /// or at the end.
    pub(super) fn next(&self, window: Window<'_>, at: usize) -> Option<Cut> {
        let rest = window.bytes.get(at..)?;
        let offset = window.start + u64::try_from(at).unwrap_or(u64::MAX);
        let segment = self.segments.at(offset);
        let left = segment.end.and_then(|end| usize::try_from(end - offset).ok());
        let (rest, at_end) = match left {
            Some(left) if left <= rest.len() => (&rest[..left], true),
            _ => (rest, window.at_end),
        };
        let length = self.chunker.next_cut(rest, at_end)?;
        let length = if at_end && length == rest.len() { length } else { segment.aligned(length) };
        Some(Cut { length, hint: segment.hint, place: segment.place(offset) })
    }

    /// Returns all chunks of the window from byte `from` on that are known, cut on `threads` threads.
    pub(super) fn all(&self, window: Window<'_>, from: usize, threads: usize) -> Vec<Cut> {
        let length = window.bytes.len().saturating_sub(from);
        let lines = threads.min(length / STRETCH_MIN_BYTES).max(1);
        if lines == 1 {
            return self.line(window, from, window.bytes.len()).into_iter().map(|(_, cut)| cut).collect();
        }
        let starts: Vec<usize> =
            (0..lines).map(|line| from + self.aligned(window, from, length / lines * line)).collect();
        let ends = starts.iter().skip(1).copied().chain([window.bytes.len()]);
        let stretches: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
        let lines: Vec<Vec<(usize, Cut)>> =
            stretches.par_iter().map(|(start, end)| self.line(window, *start, *end)).collect();
        self.join(window, from, &lines)
    }

    /// Moves a place of the stretch from `from` on to a whole element, where the true line has its cuts.
    fn aligned(&self, window: Window<'_>, from: usize, at: usize) -> usize {
        let offset = window.start + u64::try_from(from + at).unwrap_or(u64::MAX);
        self.segments.at(offset).distance_to_element(offset).map_or(at, |distance| at + distance)
    }

    /// Returns the chunks of the line from `start` on that begin before `end`, each with where it begins.
    fn line(&self, window: Window<'_>, start: usize, end: usize) -> Vec<(usize, Cut)> {
        let mut cuts = Vec::new();
        let mut at = start;
        while at < end {
            let Some(cut) = self.next(window, at) else { break };
            cuts.push((at, cut));
            at += cut.length;
        }
        cuts
    }

    /// Follows the true line from `from` on through the lines of others.
    fn join(&self, window: Window<'_>, from: usize, lines: &[Vec<(usize, Cut)>]) -> Vec<Cut> {
        let mut cuts = Vec::with_capacity(lines.iter().map(Vec::len).sum());
        let mut at = from;
        for line in lines {
            let mut left = line.as_slice();
            loop {
                left = &left[left.partition_point(|(start, _)| *start < at)..];
                let Some((start, _)) = left.first() else { break };
                if *start == at {
                    cuts.extend(left.iter().map(|(_, cut)| *cut));
                    at = left.last().map_or(at, |(start, cut)| start + cut.length);
                    break;
                }
                let Some(cut) = self.next(window, at) else { return cuts };
                cuts.push(cut);
                at += cut.length;
            }
        }
        while let Some(cut) = self.next(window, at) {
            cuts.push(cut);
            at += cut.length;
        }
        cuts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backup::segments::tests::layout;
    use crate::base::clock::SeededEntropy;
    use crate::chunker::Parameters;
    use crate::crypto::{MasterKey, gear_table};

    fn chunker() -> Chunker {
        let parameters =
            Parameters { min_bytes: 4096, average_bytes: 16_384, max_bytes: 65_536, normalization: 1 };
        Chunker::new(parameters, &gear_table(&MasterKey::from_bytes([3; 32]))).unwrap()
    }

    /// Noise, zeros, a period, or text, from a seed.
    fn content(kind: u8, seed: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        match kind {
            0 => crate::base::Entropy::fill(&SeededEntropy::new(seed), &mut data),
            1 => {}
            2 => {
                let period = usize::try_from(seed % 9000).unwrap() + 1;
                data.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % period % 251) as u8);
            }
            _ => {
                let line = |n: usize| format!("{}\t{}\tsome words\n", n, n as u64 ^ seed);
                let text: Vec<u8> = (0..).flat_map(|n| line(n).into_bytes()).take(length).collect();
                data = text;
            }
        }
        data
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_number_of_threads_finds_the_cuts_of_one(
            parts in proptest::collection::vec((0_u8..4, any::<u64>(), 0_usize..2_500_000), 1..4),
            tensors in proptest::collection::vec((0_u64..300_000, 0_u64..1_500_000, 0_u8..3), 0..5),
            (from, start) in (0_usize..5000, 0_u64..100_000),
            at_end: bool,
        ) {
            let data: Vec<u8> =
                parts.iter().flat_map(|(kind, seed, length)| content(*kind, *seed, *length)).collect();
            let segments = layout(&tensors);
            let chunker = chunker();
            let rules = Rules { chunker: &chunker, segments: &segments };
            let window = Window { bytes: &data, start, at_end };
            let from = from.min(data.len());
            let serial = rules.all(window, from, 1);
            for threads in 1..=16 {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| rules.all(window, from, threads));
                prop_assert_eq!(&found, &serial, "{} threads", threads);
            }
            let mut at = from;
            for cut in &serial {
                prop_assert_eq!(rules.next(window, at), Some(*cut));
                at += cut.length;
            }
            prop_assert!(at == data.len() || (!at_end && data.len() - at < 65_536));
        }
    }
}
