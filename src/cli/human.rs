//! Counts and ratios for people; sizes and times are in `base::parse`.

use std::time::Duration;

use crate::base::Time;

/// Returns a count with a plural word: `1 file`, `2 files`, `3 entries`.
pub fn count(number: u64, word: &str) -> String {
    match (number, word.strip_suffix('y')) {
        (1, _) => format!("1 {word}"),
        (number, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        (number, _) => format!("{number} {word}s"),
    }
}

/// Returns a count to append to others, with its comma; empty for none.
pub fn also(number: u64, word: &str) -> String {
    match number {
        0 => String::new(),
        number => format!(", {}", count(number, word)),
    }
}

/// Returns a ratio of two sizes like `3.42`, or `-` when there is none.
pub fn ratio(whole_bytes: u64, part_bytes: u64) -> String {
    match part_bytes {
        0 => "-".to_owned(),
        part_bytes => format!("{:.2}", whole_bytes as f64 / part_bytes as f64),
    }
}

/// Returns the time from `earlier` to `later`; none when the clock went back.
pub fn between(earlier: Time, later: Time) -> Duration {
    let nanoseconds = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let difference = nanoseconds(later) - nanoseconds(earlier);
    Duration::from_nanos(u64::try_from(difference.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_is_no_ratio() {
        assert_eq!([count(0, "file"), count(1, "file")], ["0 files", "1 file"]);
        assert_eq!([count(2, "entry"), count(2, "day")], ["2 entries", "2 days"]);
        assert_eq!([also(0, "file"), also(3, "file")], ["", ", 3 files"]);
        assert_eq!([ratio(342, 100), ratio(1, 0)], ["3.42", "-"]);
    }
}
