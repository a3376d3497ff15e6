//! The fields of quantised weights: records with packed fields, and the same with a byte for each value.
//!
//! Every function that packs answers `false` to a value that has more bits than its record has room for.

use crate::container::QuantKind;

/// Writes the fields of `record` to the beginning of `out`.
pub(super) fn unpack(kind: QuantKind, record: &[u8], out: &mut [u8]) {
    match kind {
        QuantKind::Q5_0 => unpack_q5(record, 2, out),
        QuantKind::Q5_1 => unpack_q5(record, 4, out),
        QuantKind::Q3K => unpack_q3_k(record, out),
        QuantKind::Q4K => {
            out[..4].copy_from_slice(&record[..4]);
            unpack_scales_12(&record[4..16], &mut out[4..20]);
            out[20..148].copy_from_slice(&record[16..144]);
        }
        QuantKind::Q5K => unpack_q5_k(record, out),
        QuantKind::Q6K => unpack_q6_k(record, out),
        QuantKind::Iq4Xs => {
            out[..2].copy_from_slice(&record[..2]);
            for at in 0..8 {
                let low = record[4 + at / 2] >> (4 * (at % 2)) & 15;
                out[2 + at] = low | (record[2 + at / 4] >> (2 * (at % 4)) & 3) << 4;
            }
            out[10..138].copy_from_slice(&record[8..136]);
        }
        _ => out[..record.len()].copy_from_slice(record),
    }
}

/// Writes the record whose fields `fields` begins with.
pub(super) fn pack(kind: QuantKind, fields: &[u8], record: &mut [u8]) -> bool {
    match kind {
        QuantKind::Q5_0 => pack_q5(fields, 2, record),
        QuantKind::Q5_1 => pack_q5(fields, 4, record),
        QuantKind::Q3K => pack_q3_k(fields, record),
        QuantKind::Q4K => {
            record[..4].copy_from_slice(&fields[..4]);
            record[16..144].copy_from_slice(&fields[20..148]);
            pack_scales_12(&fields[4..20], &mut record[4..16])
        }
        QuantKind::Q5K => pack_q5_k(fields, record),
        QuantKind::Q6K => pack_q6_k(fields, record),
        QuantKind::Iq4Xs => {
            record[..2].copy_from_slice(&fields[..2]);
            record[2..8].fill(0);
            for (at, scale) in fields[2..10].iter().enumerate() {
                record[4 + at / 2] |= (scale & 15) << (4 * (at % 2));
                record[2 + at / 4] |= (scale >> 4 & 3) << (2 * (at % 4));
            }
            record[8..136].copy_from_slice(&fields[10..138]);
            within(&fields[2..10], 6)
        }
        _ => {
            record.copy_from_slice(&fields[..record.len()]);
            true
        }
    }
}

fn within(values: &[u8], bits: u32) -> bool {
    values.iter().fold(0, |all, value| all | value) >> bits == 0
}

/// Q5_0 and Q5_1: `head` bytes, 4 bytes of high bits, 16 bytes of nibbles.
fn unpack_q5(record: &[u8], head: usize, out: &mut [u8]) {
    out[..head].copy_from_slice(&record[..head]);
    let (high, nibbles) = record[head..].split_at(4);
    let (low, upper) = out[head..head + 32].split_at_mut(16);
    for (at, byte) in nibbles.iter().enumerate() {
        low[at] = byte & 15 | (high[at / 8] >> (at % 8) & 1) << 4;
        upper[at] = byte >> 4 | (high[2 + at / 8] >> (at % 8) & 1) << 4;
    }
}

fn pack_q5(fields: &[u8], head: usize, record: &mut [u8]) -> bool {
    record[..head].copy_from_slice(&fields[..head]);
    let (high, nibbles) = record[head..].split_at_mut(4);
    high.fill(0);
    let (low, upper) = fields[head..head + 32].split_at(16);
    for (at, byte) in nibbles.iter_mut().enumerate() {
        *byte = low[at] & 15 | upper[at] << 4;
        high[at / 8] |= (low[at] >> 4 & 1) << (at % 8);
        high[2 + at / 8] |= (upper[at] >> 4 & 1) << (at % 8);
    }
    within(&fields[head..head + 32], 5)
}

/// The 12 bytes of Q4_K and Q5_K: eight scales of 6 bits, then eight minima.
fn unpack_scales_12(packed: &[u8], out: &mut [u8]) {
    for at in 0..4 {
        out[at] = packed[at] & 63;
        out[8 + at] = packed[4 + at] & 63;
        out[4 + at] = packed[8 + at] & 15 | packed[at] >> 6 << 4;
        out[12 + at] = packed[8 + at] >> 4 | packed[4 + at] >> 6 << 4;
    }
}

fn pack_scales_12(scales: &[u8], packed: &mut [u8]) -> bool {
    for at in 0..4 {
        packed[at] = scales[at] & 63 | scales[4 + at] >> 4 << 6;
        packed[4 + at] = scales[8 + at] & 63 | scales[12 + at] >> 4 << 6;
        packed[8 + at] = scales[4 + at] & 15 | scales[12 + at] << 4;
    }
    within(scales, 6)
}

/// Q3_K: pairs of quants of 3 bits, the scales of 6 bits, `d`.
fn unpack_q3_k(record: &[u8], out: &mut [u8]) {
    let (high, rest) = record.split_at(32);
    let (quants, scales) = rest.split_at(64);
    for run in 0..8 {
        let (half, shift) = (run / 4, 2 * (run % 4));
        let value = |at: usize| quants[32 * half + at] >> shift & 3 | (high[at] >> run & 1) << 2;
        for at in 0..16 {
            out[16 * run + at] = value(2 * at) | value(2 * at + 1) << 3;
        }
    }
    for at in 0..16 {
        let low = scales[at % 8] >> (4 * (at / 8)) & 15;
        out[128 + at] = low | (scales[8 + at % 4] >> (2 * (at / 4)) & 3) << 4;
    }
    out[144..146].copy_from_slice(&scales[12..14]);
}

fn pack_q3_k(fields: &[u8], record: &mut [u8]) -> bool {
    record.fill(0);
    let (high, rest) = record.split_at_mut(32);
    let (quants, scales) = rest.split_at_mut(64);
    for run in 0..8 {
        let (half, shift) = (run / 4, 2 * (run % 4));
        for at in 0..32 {
            let value = fields[16 * run + at / 2] >> (3 * (at % 2)) & 7;
            quants[32 * half + at] |= (value & 3) << shift;
            high[at] |= value >> 2 << run;
        }
    }
    for (at, scale) in fields[128..144].iter().enumerate() {
        scales[at % 8] |= (scale & 15) << (4 * (at / 8));
        scales[8 + at % 4] |= (scale >> 4 & 3) << (2 * (at / 4));
    }
    scales[12..14].copy_from_slice(&fields[144..146]);
    within(&fields[..144], 6)
}

/// Q5_K: `d`, `dmin`, scales, minima, quants of 5 bits.
fn unpack_q5_k(record: &[u8], out: &mut [u8]) {
    out[..4].copy_from_slice(&record[..4]);
    unpack_scales_12(&record[4..16], &mut out[4..20]);
    let (high, nibbles) = record[16..].split_at(32);
    for (run, values) in out[20..276].chunks_exact_mut(32).enumerate() {
        let nibbles = &nibbles[32 * (run / 2)..][..32];
        for ((value, byte), high) in values.iter_mut().zip(nibbles).zip(high) {
            *value = byte >> (4 * (run % 2)) & 15 | (high >> run & 1) << 4;
        }
    }
}

fn pack_q5_k(fields: &[u8], record: &mut [u8]) -> bool {
    record[..4].copy_from_slice(&fields[..4]);
    let scales_fit = pack_scales_12(&fields[4..20], &mut record[4..16]);
    record[16..].fill(0);
    let (high, nibbles) = record[16..].split_at_mut(32);
    for (run, values) in fields[20..276].chunks_exact(32).enumerate() {
        let nibbles = &mut nibbles[32 * (run / 2)..][..32];
        for ((value, byte), high) in values.iter().zip(nibbles).zip(&mut *high) {
            *byte |= (value & 15) << (4 * (run % 2));
            *high |= (value >> 4 & 1) << run;
        }
    }
    scales_fit && within(&fields[20..276], 5)
}

/// Q6_K: quants of 6 bits, scales, `d`.
fn unpack_q6_k(record: &[u8], out: &mut [u8]) {
    let (nibbles, rest) = record.split_at(128);
    for (run, values) in out[..256].chunks_exact_mut(32).enumerate() {
        let (half, quarter) = (run / 4, run % 4);
        let nibbles = &nibbles[64 * half + 32 * (quarter % 2)..][..32];
        let high = &rest[32 * half..][..32];
        for ((value, byte), high) in values.iter_mut().zip(nibbles).zip(high) {
            *value = byte >> (4 * (quarter / 2)) & 15 | (high >> (2 * quarter) & 3) << 4;
        }
    }
    out[256..274].copy_from_slice(&rest[64..82]);
}

fn pack_q6_k(fields: &[u8], record: &mut [u8]) -> bool {
    record[..192].fill(0);
    let (nibbles, rest) = record.split_at_mut(128);
    for (run, values) in fields[..256].chunks_exact(32).enumerate() {
        let (half, quarter) = (run / 4, run % 4);
        let nibbles = &mut nibbles[64 * half + 32 * (quarter % 2)..][..32];
        let high = &mut rest[32 * half..][..32];
        for ((value, byte), high) in values.iter().zip(nibbles).zip(high) {
            *byte |= (value & 15) << (4 * (quarter / 2));
            *high |= (value >> 4 & 3) << (2 * quarter);
        }
    }
    rest[64..82].copy_from_slice(&fields[256..274]);
    within(&fields[..256], 6)
}
