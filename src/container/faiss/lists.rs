//! Indexes of inverted lists: a coarse index, then for each of its cells the codes and ids of what is in it.

use super::*;

/// Most lists; what an index with more holds behind their lengths is not looked at.
const LISTS_MAX: u64 = 1 << 19;

/// A map from ids to places that is a table of pairs.
const MAP_PAIRS: u8 = 2;

impl Index<'_> {
    /// Reads an index of inverted lists after its header.
    pub(super) fn inverted(&mut self, code: [u8; 4], header: &Header, depth: u32) -> Step<()> {
        let count = self.u64()?;
        self.skip(8)?;
        self.index(depth)?;
        let is_legacy = code[1] == b'v';
        if is_legacy {
            self.list_vectors(I64, count)?;
        }
        self.map()?;
        let row = Scalar { element: Element::F32, code_bytes: header.dimension * 4 };
        match &code {
            b"IvFl" => self.list_vectors(Element::F32, count),
            b"IvFL" => self.list_vectors(Element::Bytes, count),
            b"IwFl" => self.lists(&row),
            b"IvSQ" | b"IwSq" | b"IwSQ" => {
                let scalar = self.scalar()?;
                // The length of a code, and in the newest a truth.
                self.skip(8 + if &code == b"IwSq" { 1 } else { 0 })?;
                if is_legacy {
                    return self.list_vectors(Element::Bytes, count);
                }
                self.lists(&scalar)
            }
            b"IwPQ" | b"IwQR" => {
                self.skip(1)?;
                let code_bytes = self.u64()?;
                self.product()?;
                self.lists(&Scalar { element: Element::Bytes, code_bytes })?;
                if &code == b"IwQR" {
                    self.product()?;
                    self.vector(Element::Bytes)?;
                    self.skip(4)?;
                }
                Ok(())
            }
            _ => Err(Stop::Unknown),
        }
    }

    /// Reads where ids are.
    fn map(&mut self) -> Step<()> {
        let [kind] = self.take()?;
        self.vector(I64)?;
        if kind == MAP_PAIRS {
            let count = self.u64()?;
            self.stretch(I64, vec![count, 2])?;
        }
        require(kind <= MAP_PAIRS)
    }

    /// Reads one vector for each list, as older files have them.
    fn list_vectors(&mut self, element: Element, count: u64) -> Step<()> {
        if count > LISTS_MAX {
            return Err(Stop::Unknown);
        }
        (0..count).try_for_each(|_| self.vector(element).map(drop))
    }

    /// Reads the lists: all lengths, then of each its codes and its ids.
    fn lists(&mut self, scalar: &Scalar) -> Step<()> {
        let code: [u8; 4] = self.take()?;
        match &code {
            b"il00" => return Ok(()),
            b"ilar" => {}
            _ => return Err(Stop::Unknown),
        }
        let lists = self.u64()?;
        let code_bytes = self.u64()?;
        require(code_bytes == scalar.code_bytes)?;
        let kind: [u8; 4] = self.take()?;
        let numbers = self.u64()?;
        let (is_sparse, is_right) = match &kind {
            b"full" => (false, numbers == lists),
            b"sprs" => (true, numbers.is_multiple_of(2) && numbers / 2 <= lists),
            _ => return Err(Stop::Unknown),
        };
        require(is_right)?;
        if numbers > 2 * LISTS_MAX || lists > LISTS_MAX {
            return Err(Stop::Unknown);
        }
        let mut lengths = Vec::new();
        for at in 0..numbers {
            let number = self.u64()?;
            // Each length has the number of its list before it.
            if !is_sparse || at % 2 == 1 {
                lengths.push(number);
            }
        }
        for length in lengths {
            self.codes(scalar, length)?;
            self.stretch(I64, vec![length])?;
        }
        Ok(())
    }
}
