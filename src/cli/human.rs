//! Numbers and times for people.

use jiff::tz::TimeZone;

use super::json::timestamp;
use crate::base::Time;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Returns a size with three or four digits and a power of 1024: `512 B`, `1.50 MiB`, `12.3 GiB`.
pub fn bytes(size_bytes: u64) -> String {
    if size_bytes < 1024 {
        return format!("{size_bytes} B");
    }
    let mut size = size_bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded up to 1024 of a unit is one of the next.
    while size >= 1023.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = match size {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{size:.decimals$} {}", UNITS[unit])
}

/// Returns a duration: `0:07`, `12:34`, `1:02:03`, `3d 04:05:06`.
pub fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, hours) => format!("{hours}:{minutes:02}:{seconds:02}"),
        (days, hours) => format!("{days}d {hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Returns a count with a plural word: `1 file`, `2 files`.
pub fn count(number: u64, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    }
}

/// Returns a ratio of two sizes like `3.42`, or `-` when there is none.
pub fn ratio(whole_bytes: u64, part_bytes: u64) -> String {
    match part_bytes {
        0 => "-".to_owned(),
        part_bytes => format!("{:.2}", whole_bytes as f64 / part_bytes as f64),
    }
}

/// Returns a time in the time zone of this host, to the second.
pub fn time(time: Time) -> String {
    time_in(time, TimeZone::system())
}

/// Returns a time in `zone`, to the second.
pub fn time_in(time: Time, zone: TimeZone) -> String {
    timestamp(time).to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_length_at_every_power() {
        let sizes = [0, 1023, 1024, 1536, 10 * 1024, 1_048_575, 1_048_576, u64::MAX];
        let texts: Vec<String> = sizes.into_iter().map(bytes).collect();
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "10.0 KiB", "1.00 MiB", "1.00 MiB", "16.0 EiB"]
        );
    }

    #[test]
    fn durations_read_like_a_clock() {
        let texts: Vec<String> = [7, 754, 3723, 273_906].into_iter().map(duration).collect();
        assert_eq!(texts, ["0:07", "12:34", "1:02:03", "3d 04:05:06"]);
    }

    #[test]
    fn times_are_shown_in_the_zone_asked_for() {
        assert_eq!(time_in(Time::from_seconds(86_399), TimeZone::UTC), "1970-01-01 23:59:59");
    }
}
