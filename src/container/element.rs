//! What one element of a tensor is.

/// A kind of element, as far as it decides about cutting and coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Eight-bit floating point of any layout.
    F8,
    /// Integers, booleans, codes: width in bytes 1, 2, 4 or 8.
    Integer {
        /// Bytes of one.
        width_bytes: u8,
    },
    /// A record of quantised weights.
    Quant(QuantKind),
    /// Nothing is known.
    Bytes,
}

/// Records of quantised weights, as GGUF files have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantKind {
    /// `d` f16, 16 bytes of nibbles.
    Q4_0,
    /// `d`, `m` f16, 16 bytes of nibbles.
    Q4_1,
    /// `d` f16, 4 bytes of high bits, 16 bytes of nibbles.
    Q5_0,
    /// `d`, `m` f16, 4 bytes of high bits, 16 bytes of nibbles.
    Q5_1,
    /// `d` f16, 32 signed bytes.
    Q8_0,
    /// 16 bytes of scales, 64 bytes of quants, `d`, `dmin` f16.
    Q2K,
    /// 32 bytes of high bits, 64 bytes of quants, 12 bytes of scales, `d` f16.
    Q3K,
    /// `d`, `dmin` f16, 12 bytes of scales, 128 bytes of nibbles.
    Q4K,
    /// `d`, `dmin` f16, 12 bytes of scales, 32 bytes of high bits, 128 bytes of nibbles.
    Q5K,
    /// 128 bytes of nibbles, 64 bytes of high bits, 16 signed scales, `d` f16.
    Q6K,
    /// `e` one byte, 16 bytes of nibbles.
    Mxfp4,
    /// `d` f16, 16 bytes of nibbles into a table.
    Iq4Nl,
    /// `d` f16, 2 bytes of high scale bits, 4 bytes of low scale bits, 128 bytes of nibbles.
    Iq4Xs,
}

impl QuantKind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
        Self::Mxfp4,
    ];

    /// Returns the length of one record in bytes.
    pub fn record_bytes(self) -> u32 {
        match self {
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Mxfp4 => 17,
            Self::Iq4Xs => 136,
        }
    }

    /// Returns how many weights one record holds.
    pub fn record_weights(self) -> u32 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Iq4Nl | Self::Mxfp4 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
        }
    }
}

impl Element {
    /// Returns the bytes of one element or record: cuts inside a tensor are multiples of it.
    pub fn width_bytes(self) -> u32 {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::F8 | Self::Bytes => 1,
            Self::Integer { width_bytes } => u32::from(width_bytes.max(1)),
            Self::Quant(kind) => kind.record_bytes(),
        }
    }

    /// Returns the bytes of a tensor with these dimensions. `None` when that is no number of 64 bits, and
    /// when rows do not hold whole records.
    pub fn length_bytes(self, shape: &[u64]) -> Option<u64> {
        let weights = match self {
            Self::Quant(kind) => u64::from(kind.record_weights()),
            _ => 1,
        };
        // Rows are the last dimension: a record never spans two.
        let (row, rows) = shape.split_last().map_or((1, &[][..]), |(row, rows)| (*row, rows));
        let records = row.is_multiple_of(weights).then_some(row / weights)?;
        let count = rows.iter().try_fold(records, |product, dimension| product.checked_mul(*dimension))?;
        count.checked_mul(u64::from(self.width_bytes()))
    }
}
