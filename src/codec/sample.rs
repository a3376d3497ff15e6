//! A sample of a block, and how small each coding makes it.

use super::block::Coding;
use super::choose::{Hint, LEVEL};
use super::coder::PartCoder;
use super::estimate::Histogram;
use super::scratch;
use super::transform::{planes, records, sparse};
use crate::container::Element;

/// A sample that is shorter tells nothing about planes.
const NUMBERS_MIN_BYTES: usize = 1024;
/// Zeros among a hundred bytes from which on rare elements among zeros are tried.
const ZEROS_MIN_HUNDREDTHS: usize = 15;
/// Level at which a search for matches is tried on a part of the sample, and the length of that part.
const TRIAL_LEVEL: i32 = 1;
const TRIAL_MIN_BYTES: usize = 4 << 10;
/// Bytes of the sample that decide where elements begin.
const LEAD_SAMPLE_BYTES: usize = 4 << 10;
/// Bytes beyond its parts that a coding costs, about.
const TABLE_BYTES: usize = 60;

/// Some places of a block, one after the other; elements keep their alignment.
pub(super) struct Sample {
    /// The places, one after the other.
    pub(super) bytes: Vec<u8>,
    /// Where each place begins in the block.
    starts: Vec<usize>,
    place_bytes: usize,
    /// What the sample stands for, in sample sizes.
    times: usize,
}

impl Sample {
    pub(super) fn of(raw: &[u8], hint: Hint, places: usize, place_bytes: usize) -> Self {
        let align = match hint {
            Hint::Elements(Element::Quant(kind)) => usize::try_from(kind.record_bytes()).unwrap_or(8),
            _ => 8,
        };
        if raw.len() <= places * place_bytes {
            return Self { bytes: raw.to_vec(), starts: vec![0], place_bytes: raw.len(), times: 1 };
        }
        let place_bytes = place_bytes / align * align;
        let step = (raw.len() - place_bytes) / (places - 1) / align * align;
        let starts: Vec<usize> = (0..places).map(|place| place * step).collect();
        let mut bytes = Vec::with_capacity(places * place_bytes);
        for start in &starts {
            bytes.extend_from_slice(&raw[*start..][..place_bytes]);
        }
        Self { bytes, starts, place_bytes, times: raw.len() / (places * place_bytes) }
    }

    /// Returns the same places of the XOR of `raw` and `base`.
    pub(super) fn mixed(&self, raw: &[u8], base: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for start in &self.starts {
            let from = bytes.len();
            bytes.extend_from_slice(&raw[*start..][..self.place_bytes]);
            scratch::xor(&mut bytes[from..], base.get(*start..).unwrap_or_default());
        }
        Self { bytes, starts: self.starts.clone(), ..*self }
    }

    /// What a table costs a sample, of what it costs the block.
    fn table_bytes(&self) -> usize {
        TABLE_BYTES / self.times.max(1)
    }

    /// Returns the coding that makes the sample smallest, and the size.
    pub(super) fn best(&self, hint: Hint) -> (usize, Coding) {
        let zstd = Coding::Whole(PartCoder::Zstd { level: LEVEL });
        if hint == Hint::Text || self.bytes.len() < NUMBERS_MIN_BYTES {
            return (self.coded_size(zstd), zstd);
        }
        let coder = PartCoder::Literals;
        let histogram = Histogram::of(&self.bytes);
        let literal = whole_bytes(histogram.coded_bits() * self.bytes.len() as f64 / 8.0);
        let zeros = histogram.count(0) * 100 / self.bytes.len();
        let mut offers =
            Offers { sample: self, best: (literal + self.table_bytes(), Coding::Whole(coder)), zeros };
        match hint {
            Hint::Elements(Element::Quant(kind)) => {
                for apart in [false, true] {
                    if records::number(kind, apart).is_some() {
                        let coding = Coding::Records { kind, apart, lead: 0, coder: PartCoder::Rans };
                        offers.take(self.coded_size(coding), coding);
                    }
                }
            }
            Hint::Elements(element) if element != Element::Bytes => offers.known(element),
            _ => offers.unknown(literal),
        }
        // Searching for matches costs more than all of the above: a part of the sample tells whether it may
        // win.
        let (planned, _) = offers.best;
        let trial = &self.bytes[..self.bytes.len().div_ceil(4).max(TRIAL_MIN_BYTES).min(self.bytes.len())];
        let tried = coded_size(trial, Coding::Whole(PartCoder::Zstd { level: TRIAL_LEVEL }));
        if tried * self.bytes.len() / trial.len() * 100 <= planned * 110 {
            offers.take(self.coded_size(zstd), zstd);
        }
        offers.best
    }

    fn planes_size(&self, planes: &[u8], width: usize) -> usize {
        let count = (planes.len() / width).max(1);
        planes.chunks_exact(count).map(|plane| self.literal_size(plane)).sum()
    }

    fn literal_size(&self, plane: &[u8]) -> usize {
        let bits = Histogram::of(plane).coded_bits();
        let table = if bits < 8.0 { self.table_bytes() } else { 0 };
        whole_bytes(bits * plane.len() as f64 / 8.0) + table
    }

    fn coded_size(&self, coding: Coding) -> usize {
        coded_size(&self.bytes, coding)
    }
}

/// The best coding so far of those that were offered for a sample.
struct Offers<'a> {
    sample: &'a Sample,
    best: (usize, Coding),
    /// Zeros among a hundred bytes.
    zeros: usize,
}

impl Offers<'_> {
    fn take(&mut self, size: usize, coding: Coding) {
        if size < self.best.0 {
            self.best = (size, coding);
        }
    }

    /// Offers what elements of a known kind may be coded as.
    fn known(&mut self, element: Element) {
        match element {
            Element::Bf16 => self.numbers(2, 1, 0),
            Element::F16 => {
                self.numbers(2, 0, 0);
                self.numbers(2, 1, 0);
            }
            Element::F32 => self.numbers(4, 1, 0),
            Element::F64 => self.numbers(8, 1, 0),
            Element::Integer { width_bytes: width @ (2 | 4 | 8) } => {
                self.numbers(width, 0, 0);
                self.delta(width, 0);
            }
            _ => self.numbers(1, 0, 0),
        }
    }

    /// Offers what arrays of numbers may be coded as, where bytes of equal phase are alike.
    fn unknown(&mut self, literal: usize) {
        let bytes = &self.sample.bytes;
        let Some(width) = period(bytes, literal) else {
            // Rare elements among zeros need no phase.
            if self.zeros >= ZEROS_MIN_HUNDREDTHS {
                [1, 2, 4, 8].into_iter().for_each(|width| self.numbers(width, 1, 0));
            }
            return;
        };
        let wide = usize::from(width);
        let few = &bytes[..bytes.len().min(LEAD_SAMPLE_BYTES)];
        let size_at = |lead: &u8| {
            let body = &few[usize::from(*lead)..];
            let body = &body[..body.len() / wide * wide];
            let mut planes = vec![0; body.len()];
            planes::split(body, wide, 1, &mut planes);
            // Per element, since later leads have fewer.
            self.sample.planes_size(&planes, wide) * 1000 / (body.len() / wide)
        };
        let lead = (0..width).min_by_key(size_at).unwrap_or(0);
        self.numbers(width, 1, lead);
        self.delta(width, lead);
        if lead != 0 {
            self.delta(width, 0);
        }
        if self.zeros >= ZEROS_MIN_HUNDREDTHS {
            [2, 4].into_iter().for_each(|width| self.numbers(width, 1, 0));
        }
    }

    /// Offers planes and sparse with these parameters.
    fn numbers(&mut self, width: u8, rotate: u8, lead: u8) {
        let (sample, coder) = (self.sample, PartCoder::Literals);
        let (wide, skip) = (usize::from(width), usize::from(lead));
        let body = &sample.bytes[skip..];
        let body = &body[..body.len() / wide * wide];
        let mut planes = vec![0; body.len()];
        if width > 1 {
            planes::split(body, wide, u32::from(rotate), &mut planes);
            self.take(sample.planes_size(&planes, wide), Coding::Planes { width, rotate, lead, coder });
        }
        if self.zeros < ZEROS_MIN_HUNDREDTHS {
            return;
        }
        let kept: Vec<u8> = sparse::elements(body, wide);
        planes.truncate(kept.len());
        planes::split(&kept, wide, u32::from(rotate), &mut planes);
        let share = kept.len() as f64 / body.len() as f64;
        let gaps = whole_bytes(entropy_of_share(share) * (body.len() / wide) as f64 / 8.0 * 1.03);
        // A gap code has a bit at least.
        let size = sample.planes_size(&planes, wide) + gaps.max(kept.len() / wide / 8) + sample.table_bytes();
        self.take(size, Coding::Sparse { width, rotate, lead, coder });
    }

    fn delta(&mut self, width: u8, lead: u8) {
        let coding = Coding::Delta { width, lead, coder: PartCoder::Literals };
        if matches!(width, 4 | 8) {
            self.take(self.sample.coded_size(coding), coding);
        }
    }
}

/// Returns the smallest width of elements that explains how bytes of equal phase are alike; `None` where they
/// are not.
fn period(bytes: &[u8], literal: usize) -> Option<u8> {
    let mut phases: [Histogram; 8] = std::array::from_fn(|_| Histogram::of(&[]));
    for group in bytes.as_chunks::<8>().0 {
        for (histogram, byte) in phases.iter_mut().zip(group) {
            histogram.push(*byte);
        }
    }
    let size_of = |width: u8| {
        let bits = |phase: u8| {
            let same = phases.iter().skip(usize::from(phase)).step_by(usize::from(width));
            same.fold(Histogram::of(&[]), |sum, one| sum.joined(one)).coded_bits()
        };
        let bits: f64 = (0..width).map(bits).sum();
        whole_bytes(bits / f64::from(width) * bytes.len() as f64 / 8.0)
    };
    let sizes = [2, 4, 8].map(|width| (width, size_of(width)));
    let least = sizes.iter().map(|(_, size)| *size).min()?;
    let pays = least * 100 <= literal * 99;
    // Narrow elements need fewer tables, and a wide guess is noise: it must bring something.
    sizes.iter().find(|(_, size)| pays && size * 100 <= least * 102).map(|(width, _)| *width)
}

fn coded_size(bytes: &[u8], coding: Coding) -> usize {
    if bytes.is_empty() {
        return 0;
    }
    super::encode(bytes, coding, super::Base::NONE).map_or(bytes.len(), |coded| coded.len())
}

/// Returns the bits that tell for one element whether it is one of a share of them.
fn entropy_of_share(share: f64) -> f64 {
    let term = |part: f64| if part > 0.0 { -part * part.log2() } else { 0.0 };
    term(share) + term(1.0 - share)
}

/// Sizes of samples are small: the cast cannot lose anything that matters.
fn whole_bytes(size: f64) -> usize {
    size as usize
}
