//! What a zstd frame may be, in frames of sealed objects and in parts of blocks
//! (`format-spec/03-keys-sealing.md` 3.3).

use super::wire::{FormatError, length};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window that a frame may ask for, as a power of two.
pub const WINDOW_LOG_MAX: u32 = 22;
/// Bits of the frame header descriptor (RFC 8878, 3.1.1.1.1).
const SINGLE_SEGMENT: u8 = 0x20;
const DICTIONARY_ID: u8 = 0x03;

/// Tells whether the header of a frame names the length of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentSize {
    /// It must.
    Required,
    /// It may leave it out.
    Optional,
}

/// Refuses what is not exactly one zstd frame for `plain_bytes` bytes: other bytes or skippable frames beside
/// it, a dictionary id, another content size, a window above 4 MiB that is not the content itself.
///
/// Only the headers are looked at: the frame may still not decode, or to another length.
pub fn require_plain(data: &[u8], plain_bytes: u64, content_size: ContentSize) -> Result<(), FormatError> {
    let refused = || FormatError::invalid("zstd frame");
    if !data.starts_with(&MAGIC) {
        return Err(refused());
    }
    let descriptor = *data.get(4).ok_or_else(refused)?;
    let window_log = if descriptor & SINGLE_SEGMENT != 0 {
        0
    } else {
        let window = *data.get(5).ok_or_else(refused)?;
        // The mantissa adds up to seven eighths: round up.
        10 + u32::from(window >> 3) + u32::from(window & 7 != 0)
    };
    let size_holds = match zstd::zstd_safe::get_frame_content_size(data) {
        Ok(Some(size)) => size == plain_bytes,
        Ok(None) => content_size == ContentSize::Optional,
        Err(_) => false,
    };
    let whole = zstd::zstd_safe::find_frame_compressed_size(data).map(length) == Ok(length(data.len()));
    if descriptor & DICTIONARY_ID == 0 && window_log <= WINDOW_LOG_MAX && size_holds && whole {
        return Ok(());
    }
    Err(refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with this head (behind the magic) and one stored block of `plain`.
    fn by_hand(head: &[u8], plain: &[u8]) -> Vec<u8> {
        let block = u32::try_from(plain.len() << 3 | 1).unwrap().to_le_bytes();
        [MAGIC.as_slice(), head, &block[..3], plain].concat()
    }

    #[test]
    fn exactly_one_frame_without_dictionary_is_plain() {
        let plain = b"frame".repeat(4);
        let good = zstd::bulk::compress(&plain, 3).unwrap();
        assert_eq!(require_plain(&good, 20, ContentSize::Required), Ok(()));
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
        for bad in [
            vec![],
            skippable.to_vec(),
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            [good.as_slice(), &good].concat(),
            [good.as_slice(), &skippable].concat(),
            [&skippable, good.as_slice()].concat(),
            by_hand(&[0x21, 1, 20], &plain),
            by_hand(&[0x21, 0, 20], &plain),
        ] {
            assert!(require_plain(&bad, 20, ContentSize::Optional).is_err(), "{bad:?}");
        }
        assert!(require_plain(&good, 19, ContentSize::Optional).is_err());
    }

    #[test]
    fn a_content_size_may_be_missing_only_where_it_is_optional() {
        let unsized_frame = by_hand(&[0x00, 0x00], b"abc");
        assert_eq!(require_plain(&unsized_frame, 3, ContentSize::Optional), Ok(()));
        assert!(require_plain(&unsized_frame, 3, ContentSize::Required).is_err());
    }

    #[test]
    fn windows_end_at_4_mib_unless_they_are_the_content() {
        // Exponent in the high five bits, mantissa in the low three.
        for (window, holds) in [(12 << 3, true), (12 << 3 | 1, false), (11 << 3 | 7, true), (13 << 3, false)]
        {
            let frame = by_hand(&[0x00, window], b"abc");
            assert_eq!(require_plain(&frame, 3, ContentSize::Optional).is_ok(), holds, "{window:#x}");
        }
        // One segment of 5 MiB: 40 blocks of 128 KiB of one byte each.
        let block = |last: u32| ((128 << 10) << 3 | 2 | last).to_le_bytes();
        let mut single = [&MAGIC, [0xa0].as_slice(), &(5_u32 << 20).to_le_bytes()].concat();
        for at in 0..40 {
            single.extend_from_slice(&block(u32::from(at == 39))[..3]);
            single.push(b'a');
        }
        assert_eq!(require_plain(&single, 5 << 20, ContentSize::Required), Ok(()));
        assert_eq!(zstd::bulk::decompress(&single, 5 << 20).unwrap(), vec![b'a'; 5 << 20]);
    }
}
