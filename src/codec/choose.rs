//! Which coding a block gets: measured on a sample of its bytes, never decided by a name.

use super::block::Coding;
use super::coder::PartCoder;
use super::estimate::Histogram;
use super::scratch;
use super::transform::planes;
use crate::container::Element;

/// Level of zstd for whole blocks.
pub const LEVEL: i32 = 3;
/// Level of zstd for blocks with a prefix.
pub const PREFIX_LEVEL: i32 = 3;

/// A coding must bring the sample below this share, in thousandths, or the block stays raw.
const WORTH_THOUSANDTHS: usize = 990;
/// The XOR with a base must bring the sample below this share of the best coding without it, in hundredths.
const XOR_WORTH_HUNDREDTHS: usize = 98;
/// A sample that is shorter tells nothing about planes.
const NUMBERS_MIN_BYTES: usize = 1024;
/// Bytes beyond its parts that a coding costs, about.
const TABLE_BYTES: usize = 60;

/// What is known about the bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    Unknown,
    /// Text or records, not arrays of numbers.
    Text,
    /// Elements of a tensor, the first of which begins with the block; a sample decides nevertheless.
    Elements(Element),
    /// Compressed or encrypted: no attempt pays.
    Stored,
}

/// Returns the coding that makes a sample of `raw` smallest.
pub fn choose(raw: &[u8], hint: Hint) -> Coding {
    let place_bytes = if let Hint::Elements(_) = hint { 4 << 10 } else { 8 << 10 };
    if hint == Hint::Stored {
        return Coding::Whole(PartCoder::Raw);
    }
    let sample = Sample::of(raw, hint, 4, place_bytes);
    let (size, coding) = sample.best(hint, false);
    if size * 1000 > sample.bytes.len() * WORTH_THOUSANDTHS { Coding::Whole(PartCoder::Raw) } else { coding }
}

/// Returns the coding of the XOR of `raw` with `base[skip..]`, if a sample says that it becomes smaller by a
/// twentieth than `raw` by itself.
pub fn choose_xor(raw: &[u8], base: &[u8], skip: usize, hint: Hint) -> Option<Coding> {
    let base = base.get(skip..).filter(|base| !base.is_empty() && hint != Hint::Stored)?;
    let plain = Sample::of(raw, hint, 8, 8 << 10);
    let mixed = plain.mixed(raw, base);
    let (mixed_size, coding) = mixed.best(hint, true);
    let plain_size = plain.best(hint, false).0.min(plain.bytes.len());
    (mixed_size * 100 <= plain_size * XOR_WORTH_HUNDREDTHS).then_some(coding)
}

/// Some places of a block, one after the other; elements keep their alignment.
struct Sample {
    bytes: Vec<u8>,
    /// Where each place begins in the block.
    starts: Vec<usize>,
    place_bytes: usize,
    /// What the sample stands for, in sample sizes.
    times: usize,
}

impl Sample {
    fn of(raw: &[u8], hint: Hint, places: usize, place_bytes: usize) -> Self {
        let align = match hint {
            Hint::Elements(element) => {
                usize::try_from(element.width_bytes()).unwrap_or(1).next_multiple_of(2)
            }
            _ => 8,
        };
        let align = if align.is_power_of_two() { 8 } else { align };
        if raw.len() <= places * place_bytes {
            return Self { bytes: raw.to_vec(), starts: vec![0], place_bytes: raw.len(), times: 1 };
        }
        let place_bytes = place_bytes / align * align;
        let step = (raw.len() - place_bytes) / (places - 1) / align * align;
        let starts: Vec<usize> = (0..places).map(|place| place * step).collect();
        let bytes = starts.iter().flat_map(|start| &raw[*start..*start + place_bytes]).copied().collect();
        Self { bytes, starts, place_bytes, times: raw.len() / (places * place_bytes) }
    }

    /// Returns the same places of the XOR of `raw` and `base`.
    fn mixed(&self, raw: &[u8], base: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for start in &self.starts {
            let from = bytes.len();
            bytes.extend_from_slice(&raw[*start..*start + self.place_bytes]);
            scratch::xor(&mut bytes[from..], base.get(*start..).unwrap_or_default());
        }
        Self { bytes, starts: self.starts.clone(), ..*self }
    }

    /// What a table costs a sample, of what it costs the block.
    fn table_bytes(&self) -> usize {
        TABLE_BYTES / self.times.max(1)
    }

    /// Returns the coding that makes the sample smallest, and the size. `sparse` tries that transform even
    /// where zeros are no majority.
    fn best(&self, hint: Hint, xored: bool) -> (usize, Coding) {
        let whole = Coding::Whole(PartCoder::Zstd { level: LEVEL });
        let mut best = (self.coded_size(whole), whole);
        let mut offer = |(size, coding): (usize, Coding)| {
            if size < best.0 {
                best = (size, coding);
            }
        };
        let coder = PartCoder::Literals;
        if hint == Hint::Text || self.bytes.len() < NUMBERS_MIN_BYTES {
            return best;
        }
        let literal = self.literal_size(&self.bytes);
        offer((literal + self.table_bytes(), Coding::Whole(coder)));
        let _ = xored;
        match hint {
            Hint::Elements(Element::Quant(kind)) => {
                let coding = Coding::Records { kind, lead: 0, coder };
                offer((self.coded_size(coding), coding));
                offer(self.numbers(1, 0, 0));
            }
            Hint::Elements(element) if element != Element::Bytes => self.known(element, &mut offer),
            _ => self.unknown(literal, &mut offer),
        }
        best
    }

    /// Offers what elements of a known kind may be coded as.
    fn known(&self, element: Element, offer: &mut impl FnMut((usize, Coding))) {
        match element {
            Element::Bf16 => offer(self.numbers(2, 1, 0)),
            Element::F16 => {
                offer(self.numbers(2, 0, 0));
                offer(self.numbers(2, 1, 0));
            }
            Element::F32 => offer(self.numbers(4, 1, 0)),
            Element::F64 => offer(self.numbers(8, 1, 0)),
            Element::Integer { width_bytes: width @ (2 | 4 | 8) } => {
                offer(self.numbers(width, 0, 0));
                offer(self.delta(width));
            }
            _ => offer(self.numbers(1, 0, 0)),
        }
    }

    /// Offers what arrays of numbers may be coded as, at every lead, where bytes of equal phase are alike.
    fn unknown(&self, literal: usize, offer: &mut impl FnMut((usize, Coding))) {
        let mut phases: [Histogram; 8] = std::array::from_fn(|_| Histogram::of(&[]));
        for (phase, histogram) in phases.iter_mut().enumerate() {
            let column: Vec<u8> = self.bytes.iter().skip(phase).step_by(8).copied().collect();
            histogram.add(&column);
        }
        let bits: f64 = phases.iter().map(Histogram::coded_bits).sum();
        let apart = whole_bytes(bits * self.bytes.len() as f64 / 64.0);
        if apart * 100 > literal * 99 {
            return;
        }
        for width in [2, 4, 8] {
            for lead in 0..width {
                offer(self.numbers(width, 1, lead));
            }
        }
        for width in [4, 8] {
            offer(self.delta(width));
        }
    }

    /// Returns the better of planes and sparse with these parameters, and its size.
    fn numbers(&self, width: u8, rotate: u8, lead: u8) -> (usize, Coding) {
        let coder = PartCoder::Literals;
        let (wide, skip) = (usize::from(width), usize::from(lead));
        let end = self.bytes.len() - (self.bytes.len() - skip) % wide;
        let body = &self.bytes[skip..end];
        let mut planes = vec![0; body.len()];
        planes::split(body, wide, u32::from(rotate), &mut planes);
        let dense = match width {
            1 => (usize::MAX, Coding::Whole(coder)),
            _ => (self.planes_size(&planes, wide), Coding::Planes { width, rotate, lead, coder }),
        };
        let sparse = Coding::Sparse { width, rotate, lead, coder };
        let elements = body.len() / wide;
        let kept = kept_elements(body, wide);
        // Where most elements are other than zero, their places cost more than the zeros.
        if elements == 0 || kept.len() * 10 > body.len() * 9 {
            return dense;
        }
        let share = kept.len() as f64 / body.len() as f64;
        planes.truncate(kept.len());
        planes::split(&kept, wide, u32::from(rotate), &mut planes);
        let gaps = whole_bytes(entropy_of_share(share) * elements as f64 / 8.0 * 1.03);
        let size = self.planes_size(&planes, wide) + gaps.max(kept.len() / wide / 8) + self.table_bytes();
        if size < dense.0 { (size, sparse) } else { dense }
    }

    fn delta(&self, width: u8) -> (usize, Coding) {
        let coding = Coding::Delta { width, lead: 0, coder: PartCoder::Literals };
        if matches!(width, 4 | 8) { (self.coded_size(coding), coding) } else { (usize::MAX, coding) }
    }

    fn planes_size(&self, planes: &[u8], width: usize) -> usize {
        let count = (planes.len() / width).max(1);
        planes.chunks_exact(count).map(|plane| self.literal_size(plane) + self.table_bytes()).sum()
    }

    fn literal_size(&self, plane: &[u8]) -> usize {
        whole_bytes(Histogram::of(plane).coded_bits() * plane.len() as f64 / 8.0)
    }

    fn coded_size(&self, coding: Coding) -> usize {
        if self.bytes.is_empty() {
            return 0;
        }
        super::encode(&self.bytes, coding, super::Base::NONE).map_or(self.bytes.len(), |coded| coded.len())
    }
}

/// Returns the elements that are not zero, one after the other.
fn kept_elements(body: &[u8], width: usize) -> Vec<u8> {
    body.chunks_exact(width)
        .filter(|element| element.iter().any(|byte| *byte != 0))
        .flatten()
        .copied()
        .collect()
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
