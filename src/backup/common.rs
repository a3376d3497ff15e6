//! Where bytes of new content stand in older content: a few places of the new are looked for in the old.

/// Bytes that are looked for at each place.
pub(super) const NEEDLE_BYTES: usize = 32;
/// Places that are looked for.
const NEEDLES_MAX: usize = 16;
/// Different bytes that a needle has at least: others stand anywhere.
const DISTINCT_MIN: usize = 8;
/// Bits of the filter that most places of the old do not pass, as a power of two.
const FILTER_LOG: u32 = 12;

/// Returns the last of a few places of `new` whose bytes stand in `old`, and where there; between equal ones
/// the place that is nearest to as far from the beginning as in `new`.
pub(super) fn last_in_common(new: &[u8], old: &[u8]) -> Option<(usize, usize)> {
    let needles = needles(new);
    let mut filter = [0_u64; 1 << (FILTER_LOG - 6)];
    for (_, needle) in &needles {
        let (word, bit) = slot(needle)?;
        filter[word] |= bit;
    }
    let mut best: Option<(usize, usize)> = None;
    for (at, place) in old.windows(NEEDLE_BYTES).enumerate() {
        let Some((word, bit)) = slot(place) else { continue };
        if filter[word] & bit == 0 {
            continue;
        }
        let Some((new_at, _)) = needles.iter().find(|(_, needle)| *needle == place) else { continue };
        let nearer = |(best_new, best_old): (usize, usize)| {
            *new_at > best_new || (*new_at == best_new && at.abs_diff(*new_at) < best_old.abs_diff(*new_at))
        };
        if best.is_none_or(nearer) {
            best = Some((*new_at, at));
        }
    }
    best
}

/// Returns what to look for, the last first, each with its place.
fn needles(new: &[u8]) -> Vec<(usize, &[u8])> {
    let Some(last) = new.len().checked_sub(NEEDLE_BYTES) else { return Vec::new() };
    let step = (last / NEEDLES_MAX).max(NEEDLE_BYTES);
    let places = (0..NEEDLES_MAX).filter_map(|number| last.checked_sub(number * step));
    let needles = places.filter_map(|at| Some((at, new.get(at..at + NEEDLE_BYTES)?)));
    needles.filter(|(_, needle)| distinct(needle) >= DISTINCT_MIN).collect()
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().filter(|byte| !std::mem::replace(&mut seen[usize::from(**byte)], true)).count()
}

/// Returns the word and the bit of the filter that bytes with this beginning have.
fn slot(bytes: &[u8]) -> Option<(usize, u64)> {
    let hash = u64::from_le_bytes(*bytes.first_chunk()?).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = hash >> (64 - FILTER_LOG);
    Some((usize::try_from(number >> 6).ok()?, 1 << (number & 63)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::testing::noise;

    #[test]
    fn the_last_known_place_is_found_wherever_it_moved_and_in_front_of_what_is_new() {
        let old = noise(1, 300_000);
        for (skip, fresh) in [(0, 0), (1, 0), (70_003, 0), (4, 90_000), (1000, 3000)] {
            let new = [&old[skip..][..100_000], &noise(2, fresh)[..]].concat();
            let (new_at, old_at) = last_in_common(&new, &old).unwrap();
            assert_eq!(old_at, new_at + skip);
            // Not more than two steps before the end of what is known.
            assert!(new_at + 2 * new.len() / NEEDLES_MAX >= 100_000, "{new_at} of {fresh}");
        }
    }

    #[test]
    fn nothing_is_in_common_with_other_bytes_and_what_repeats_is_no_sign() {
        assert_eq!(last_in_common(&noise(3, 100_000), &noise(4, 100_000)), None);
        assert_eq!(last_in_common(&[7; 5000], &[7; 9000]), None);
        assert_eq!(last_in_common(&noise(3, 31), &noise(3, 31)), None);
        assert_eq!(last_in_common(&noise(3, 100), &[]), None);
    }

    #[test]
    fn of_equal_places_the_nearest_counts() {
        let (part, gap) = (noise(5, 4096), noise(6, 1000));
        let old = [&part[..], &gap, &part, &gap, &part].concat();
        let new = [&noise(7, 5096 + 40), &part[..]].concat();
        let (new_at, old_at) = last_in_common(&new, &old).unwrap();
        assert_eq!(old_at + 40, new_at);
    }
}
