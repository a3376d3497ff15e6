//! Records of Q8_0 with the greatest quant of each apart: `d`, its place, itself, and the others, of which
//! the last stands in that place, and of which 0, −1, 1, −2 … become 0, 1, 2, 3 ….
//!
//! In a record that was scaled by its greatest quant, that one is of two values and all others are lesser.

const SCALE_BYTES: usize = 2;
const QUANTS: usize = 32;
const OTHERS: usize = QUANTS - 1;
/// Bytes of a record.
const RECORD_BYTES: usize = SCALE_BYTES + QUANTS;
/// Bytes that a record gives to each part: `d` lo, `d` hi, place, greatest, others.
pub(super) const RUNS: &[usize] = &[1, 1, 1, 1, OTHERS];

/// Writes the fields of the records in `body` into runs, which have room for as many.
pub(super) fn split(body: &[u8], runs: &mut [&mut [u8]]) {
    let [low, high, places, greatest, others] = runs else { return };
    let records = body.as_chunks::<RECORD_BYTES>().0.iter();
    let heads = low.iter_mut().zip(high.iter_mut()).zip(places.iter_mut().zip(greatest.iter_mut()));
    for ((record, ((low, high), (place, greatest))), others) in
        records.zip(heads).zip(others.as_chunks_mut::<OTHERS>().0)
    {
        let [d_low, d_high, quants @ ..] = record;
        let at = place_of_greatest(quants);
        (*low, *high) = (*d_low, *d_high);
        (*place, *greatest) = (at.to_le_bytes()[0], quants[at % QUANTS]);
        for (other, quant) in others.iter_mut().zip(quants) {
            *other = folded(*quant);
        }
        // Written over what went into vectors: exchanged before, it would wait for its own bytes.
        if let Some(other) = others.get_mut(at) {
            *other = folded(quants[OTHERS]);
        }
    }
}

/// Returns 0, 1, 2, 3 … for 0, −1, 1, −2 ….
fn folded(quant: u8) -> u8 {
    quant << 1 ^ (quant.cast_signed() >> 7).cast_unsigned()
}

/// Returns the place of the first quant that is farthest from zero.
fn place_of_greatest(quants: &[u8; QUANTS]) -> usize {
    // The distance above the places that are left: loops over arrays, without a branch.
    let mut keys = [0_i16; QUANTS];
    for (left, (key, quant)) in (0..).zip(keys.iter_mut().zip(quants).rev()) {
        *key = i16::from(quant.cast_signed()).abs() << 5 | left;
    }
    let greatest = keys.iter().fold(0, |greatest, key| greatest.max(*key));
    OTHERS - usize::from(greatest.cast_unsigned()) % QUANTS
}

/// Undoes [`split`]; `false` when a place is not one of a record.
pub(super) fn merge(runs: &[&[u8]], body: &mut [u8]) -> bool {
    let [low, high, places, greatest, others] = runs else { return false };
    let heads = low.iter().zip(*high).zip(places.iter().zip(*greatest));
    let records = body.as_chunks_mut::<RECORD_BYTES>().0.iter_mut();
    let mut all_hold = true;
    for ((record, ((low, high), (place, greatest))), others) in
        records.zip(heads).zip(others.as_chunks::<OTHERS>().0)
    {
        let [d_low, d_high, quants @ ..] = record;
        (*d_low, *d_high) = (*low, *high);
        for (quant, other) in quants.iter_mut().zip(others) {
            *quant = other >> 1 ^ (other & 1).wrapping_neg();
        }
        quants[OTHERS] = *greatest;
        let place = usize::from(*place);
        all_hold &= place < QUANTS;
        quants.swap(place % QUANTS, OTHERS);
    }
    all_hold
}
