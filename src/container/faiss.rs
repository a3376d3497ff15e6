//! FAISS indexes: a tree of records, each with a code of four letters, its fields, and vectors of which each
//! has its count before it.

mod lists;

use super::read::Fields;
use super::{Element, ReadAt, TENSORS_MAX, Tensor};

/// Most bytes of fields that are read: nearly all of them are the lengths of inverted lists.
const FIELDS_BYTES_MAX: u64 = 1 << 26;

/// How deep indexes may lie in each other.
const DEPTH_MAX: u32 = 8;

/// Largest dimension of vectors.
const DIMENSION_MAX: u64 = 1 << 24;

/// Most transforms before an index.
const TRANSFORMS_MAX: u32 = 64;

/// The records that are understood at the front of a file.
const CODES: [&[u8; 4]; 24] = [
    b"IxFI", b"IxF2", b"IxFl", b"IxSQ", b"IxPq", b"IxPQ", b"IxPo", b"IxHe", b"IxMp", b"IxM2", b"IxPT",
    b"IxRF", b"IwFl", b"IwSq", b"IwSQ", b"IwPQ", b"IwQR", b"IvFl", b"IvFL", b"IvSQ", b"IHNf", b"IHNs",
    b"IHNp", b"IH00",
];

const I32: Element = Element::Integer { width_bytes: 4 };
const I64: Element = Element::Integer { width_bytes: 8 };

/// Why reading ends before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The file contradicts itself or is cut off.
    Broken,
    /// What follows is not understood, or cannot be read yet; what was found stays.
    Unknown,
}

type Step<T> = Result<T, Stop>;

/// Returns whether a file begins with a known record.
pub(super) fn is_magic(front: &[u8]) -> bool {
    front.first_chunk().is_some_and(|code| CODES.contains(&code))
}

/// Returns the vectors, codes, ids and links.
pub(super) fn tensors(source: &dyn ReadAt) -> Option<Vec<Tensor>> {
    let fields = Fields::new(source, 0, u64::MAX, FIELDS_BYTES_MAX);
    let is_stream = source.size_bytes().is_none();
    let mut index = Index { fields, is_stream, tensors: Vec::new() };
    match index.index(DEPTH_MAX) {
        Ok(()) | Err(Stop::Unknown) => Some(index.tensors),
        Err(Stop::Broken) => None,
    }
}

/// What every index begins with.
struct Header {
    dimension: u64,
    count: u64,
}

/// The codes of a scalar quantizer.
struct Scalar {
    element: Element,
    code_bytes: u64,
}

struct Index<'a> {
    fields: Fields<'a>,
    is_stream: bool,
    tensors: Vec<Tensor>,
}

impl Index<'_> {
    /// Reads an index with its code.
    fn index(&mut self, depth: u32) -> Step<()> {
        let code: [u8; 4] = self.take()?;
        let below = depth.checked_sub(1).ok_or(Stop::Unknown)?;
        if &code == b"null" {
            return Ok(());
        }
        let is_known = CODES.contains(&&code);
        if !is_known {
            return Err(Stop::Unknown);
        }
        let header = self.header()?;
        match &code {
            b"IxFI" | b"IxF2" | b"IxFl" => self.flat(&header),
            b"IxSQ" => {
                let scalar = self.scalar()?;
                let length = self.u64()?;
                require(Some(length) == header.count.checked_mul(scalar.code_bytes))?;
                self.codes(&scalar, header.count)
            }
            b"IxPq" | b"IxPQ" | b"IxPo" => {
                self.product()?;
                self.code_rows(&header)?;
                // How it is searched: a kind, a truth, a distance.
                self.skip(if &code == b"IxPQ" { 0 } else { 4 + 1 + 4 })
            }
            b"IxHe" => {
                // Bits, and two truths.
                self.skip(4 + 1 + 1)?;
                self.vector(Element::F32)?;
                self.skip(4)?;
                self.transform()?;
                self.code_rows(&header)
            }
            b"IxMp" | b"IxM2" => {
                self.index(below)?;
                self.vector(I64).map(drop)
            }
            b"IxPT" => {
                let count = self.u32()?;
                require(count <= TRANSFORMS_MAX)?;
                (0..count).try_for_each(|_| self.transform())?;
                self.index(below)
            }
            b"IxRF" => {
                self.index(below)?;
                self.index(below)?;
                self.skip(4)
            }
            b"IHNf" | b"IHNs" | b"IHNp" | b"IH00" => {
                self.links()?;
                self.index(below)
            }
            _ => self.inverted(code, &header, below),
        }
    }

    fn header(&mut self) -> Step<Header> {
        let dimension = u64::from(self.u32()?);
        let count = self.u64()?;
        // Two numbers that nothing uses.
        self.skip(16)?;
        let [is_trained] = self.take()?;
        let metric = self.u32()?;
        let is_metric = metric <= 4 || (20..=25).contains(&metric);
        require(dimension <= DIMENSION_MAX && count <= i64::MAX as u64 && is_trained <= 1 && is_metric)?;
        // The argument of metrics that may have one.
        self.skip(if metric > 1 { 4 } else { 0 })?;
        Ok(Header { dimension, count })
    }

    fn flat(&mut self, header: &Header) -> Step<()> {
        let length = self.u64()?;
        require(Some(length) == header.count.checked_mul(header.dimension))?;
        self.stretch(Element::F32, vec![header.count, header.dimension])
    }

    /// Reads a vector of bytes, the codes of all vectors.
    fn code_rows(&mut self, header: &Header) -> Step<()> {
        let length = self.u64()?;
        let rows = header.count.max(1);
        require(length.is_multiple_of(rows))?;
        self.stretch(Element::Bytes, vec![rows, length / rows])
    }

    fn codes(&mut self, scalar: &Scalar, count: u64) -> Step<()> {
        let width = u64::from(scalar.element.width_bytes());
        self.stretch(scalar.element, vec![count, scalar.code_bytes / width])
    }

    fn scalar(&mut self) -> Step<Scalar> {
        let kind = self.u32()?;
        // A kind of range, its argument, the dimension.
        self.skip(4 + 4)?;
        let dimension = self.u64()?;
        let code_bytes = self.u64()?;
        self.vector(Element::F32)?;
        let element = match kind {
            4 if dimension.checked_mul(2) == Some(code_bytes) => Element::F16,
            7 if dimension.checked_mul(2) == Some(code_bytes) => Element::Bf16,
            _ => Element::Bytes,
        };
        Ok(Scalar { element, code_bytes })
    }

    fn product(&mut self) -> Step<()> {
        // Dimension, parts, bits.
        self.skip(3 * 8)?;
        self.vector(Element::F32).map(drop)
    }

    /// Reads the graph of a hierarchical small world.
    fn links(&mut self) -> Step<()> {
        // Probabilities, neighbours of each level, levels, where each one's links begin, links.
        for element in [Element::F64, I32, I32, I64, I32] {
            self.vector(element)?;
        }
        // Where to enter, the highest level, and three settings.
        self.skip(5 * 4)
    }

    fn transform(&mut self) -> Step<()> {
        let code: [u8; 4] = self.take()?;
        match &code {
            b"rrot" | b"LTra" => self.linear()?,
            b"Pcam" | b"PcAm" => {
                // A power, in newer ones an epsilon, a truth, a count.
                self.skip(4 + if &code == b"Pcam" { 4 } else { 0 } + 1 + 4)?;
                for _ in 0..3 {
                    self.vector(Element::F32)?;
                }
                self.linear()?;
            }
            b"Viqm" => {
                self.skip(4 + 4)?;
                self.linear()?;
            }
            b"RmDT" => drop(self.vector(I32)?),
            b"VNrm" => self.skip(4)?,
            b"VCnt" => drop(self.vector(Element::F32)?),
            _ => return Err(Stop::Unknown),
        }
        // Dimensions before and after, and a truth.
        self.skip(4 + 4 + 1)
    }

    fn linear(&mut self) -> Step<()> {
        self.skip(1)?;
        self.vector(Element::F32)?;
        self.vector(Element::F32).map(drop)
    }

    /// Reads a count and as many elements; returns the count.
    fn vector(&mut self, element: Element) -> Step<u64> {
        let count = self.u64()?;
        self.stretch(element, vec![count])?;
        Ok(count)
    }

    /// Takes the elements that follow as a tensor.
    fn stretch(&mut self, element: Element, shape: Vec<u64>) -> Step<()> {
        let length_bytes = element.length_bytes(&shape).ok_or(Stop::Broken)?;
        let offset = self.fields.position();
        self.skip(length_bytes)?;
        if length_bytes > 0 {
            self.tensors.push(Tensor { name: Vec::new(), element, shape, offset, length_bytes });
        }
        if self.tensors.len() > TENSORS_MAX { Err(Stop::Unknown) } else { Ok(()) }
    }

    fn skip(&mut self, length: u64) -> Step<()> {
        self.fields.skip(length).ok_or(Stop::Broken)
    }

    fn take<const N: usize>(&mut self) -> Step<[u8; N]> {
        // The head of a stream ends somewhere without being broken.
        let stop = if self.is_stream { Stop::Unknown } else { Stop::Broken };
        self.fields.take().ok_or(stop)
    }

    fn u32(&mut self) -> Step<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Step<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

fn require(is_so: bool) -> Step<()> {
    if is_so { Ok(()) } else { Err(Stop::Broken) }
}
