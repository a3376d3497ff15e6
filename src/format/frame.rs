//! Frames: what is inside a sealed object, stored or as one zstd frame (`format-spec/03-keys-sealing.md`
//! 3.3).

use super::wire::{FormatError, Reader, Writer, length};
use super::zstd_frame::{ContentSize, require_plain};

const STORED: u8 = 0;
const ZSTD: u8 = 1;
const LEVEL: i32 = 3;

/// Returns the frame of `plain`, compressed when that is shorter.
pub fn encode(plain: &[u8], limit: u64, what: &'static str) -> Result<Vec<u8>, FormatError> {
    let packed = zstd::bulk::compress(plain, LEVEL).ok().filter(|packed| packed.len() < plain.len());
    let (coder, data) = match &packed {
        Some(packed) => (ZSTD, packed.as_slice()),
        None => (STORED, plain),
    };
    let mut out = Writer::new();
    out.u8(coder).count32(plain.len(), limit, what)?.raw(data);
    Ok(out.finish())
}

/// Returns the plain bytes of a frame of at most `limit` bytes.
pub fn decode(frame: &[u8], limit: u64, what: &'static str) -> Result<Vec<u8>, FormatError> {
    let mut input = Reader::new(frame, what);
    let coder = input.u8("frame coder")?;
    let plain_bytes = u64::from(input.u32("frame length")?);
    if plain_bytes > limit {
        return Err(FormatError::Limit { what, value: plain_bytes, limit });
    }
    let data = input.raw(input.remaining(), "frame data")?;
    match coder {
        STORED if length(data.len()) == plain_bytes => Ok(data.to_vec()),
        ZSTD if length(data.len()) < plain_bytes => inflate(data, plain_bytes),
        _ => Err(FormatError::invalid("frame")),
    }
}

fn inflate(data: &[u8], plain_bytes: u64) -> Result<Vec<u8>, FormatError> {
    let broken = |_| FormatError::invalid("compressed frame");
    let capacity = usize::try_from(plain_bytes).map_err(|_| FormatError::invalid("frame length"))?;
    require_plain(data, plain_bytes, ContentSize::Optional)?;
    let plain = zstd::bulk::decompress(data, capacity).map_err(broken)?;
    if plain.len() == capacity {
        Ok(plain)
    } else {
        Err(FormatError::invalid("length of a compressed frame"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_stored_or_compressed() {
        for plain in [vec![], b"short".to_vec(), vec![7; 10_000]] {
            let frame = encode(&plain, 1 << 20, "test").unwrap();
            assert_eq!(decode(&frame, 1 << 20, "test").unwrap(), plain);
        }
    }

    #[test]
    fn a_frame_that_promises_another_length_is_refused() {
        let mut frame = encode(&[7; 10_000], 1 << 20, "test").unwrap();
        assert_eq!(frame[0], ZSTD);
        frame[1] ^= 1;
        assert!(decode(&frame, 1 << 20, "test").is_err());
        frame[1] ^= 1;
        frame.push(0);
        assert!(decode(&frame, 1 << 20, "test").is_err());
        assert!(decode(&encode(&[7; 100], 100, "test").unwrap(), 99, "test").is_err());
    }
}
