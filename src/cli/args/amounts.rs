//! Values of options, from text: sizes, durations, shares, counts.

use std::str::FromStr;

use super::values::ValueError;

/// More threads than this are a mistake in typing.
const THREAD_COUNT_MAX: u32 = 1024;

/// A duration in calendar units, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// Calendar years.
    pub years: u32,
    /// Calendar months.
    pub months: u32,
    /// Days; a week is seven.
    pub days: u32,
    /// Hours, minutes and seconds together.
    pub seconds: u64,
}

impl Period {
    /// Returns the length with months of 30 and years of 365 days.
    pub fn approximate_seconds(&self) -> u64 {
        let days = u64::from(self.years) * 365 + u64::from(self.months) * 30 + u64::from(self.days);
        (days * 86_400).saturating_add(self.seconds)
    }

    fn add(&mut self, count: u32, unit: &str) -> Option<()> {
        let add = |field: &mut u32, count: u32| field.checked_add(count).map(|sum| *field = sum);
        let mut add_seconds = |each: u64| {
            self.seconds = self.seconds.checked_add(u64::from(count) * each)?;
            Some(())
        };
        match unit {
            "y" => add(&mut self.years, count),
            "m" => add(&mut self.months, count),
            "w" => add(&mut self.days, count.checked_mul(7)?),
            "d" => add(&mut self.days, count),
            "h" => add_seconds(3600),
            "min" => add_seconds(60),
            "s" => add_seconds(1),
            _ => None,
        }
    }
}

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected =
            || ValueError::new("a duration is like 30d, 12h, 90min, 10s, 2w, 6m (months), 1y, or 1y6m");
        if text == "0" {
            return Ok(Self::default());
        }
        let mut period = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (count, tail) = rest.split_at(digits);
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let count: u32 = count.parse().map_err(|_| expected())?;
            period.add(count, unit).ok_or_else(expected)?;
            rest = tail;
        }
        match text.is_empty() {
            true => Err(expected()),
            false => Ok(period),
        }
    }
}

/// A share of a whole, in millionths: 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(pub u32);

impl Share {
    /// Reads `5%` or `0.25%`; `None` when `text` does not end in `%`.
    fn parse(text: &str) -> Option<Result<Self, ValueError>> {
        let expected = || ValueError::new("a share is from 0% to 100%");
        let number = text.strip_suffix('%')?;
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent = number.parse::<f64>().ok().filter(|percent| plain && (0.0..=100.0).contains(percent));
        // At most 1,000,000: it fits.
        Some(percent.map(|percent| Self((percent * 10_000.0).round() as u32)).ok_or_else(expected))
    }

    /// Returns this share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        // Not larger than `whole`: it fits.
        (u128::from(whole) * u128::from(self.0) / 1_000_000) as u64
    }
}

/// How much unused data may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusedLimit {
    /// A share of what is stored.
    Share(Share),
    /// So many bytes.
    Bytes(u64),
    /// Any amount: packs are only deleted whole.
    Unlimited,
}

impl FromStr for UnusedLimit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match Share::parse(text) {
            Some(share) => share.map(Self::Share),
            None if text == "unlimited" => Ok(Self::Unlimited),
            None => parse_size(text).map(Self::Bytes),
        }
    }
}

/// Which part of the data to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadSubset {
    /// Part `number` (from 1) of `count` parts.
    Part {
        /// From 1 to `count`.
        number: u32,
        /// At least 1.
        count: u32,
    },
    /// A share of all packs, more than nothing.
    Share(Share),
    /// So many bytes, more than none.
    Bytes(u64),
}

impl FromStr for ReadSubset {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected =
            || ValueError::new("a part is n/m with 1 <= n <= m, a share (5%) or a size (10GiB), not 0");
        if let Some((number, count)) = text.split_once('/') {
            let number: u32 = number.parse().map_err(|_| expected())?;
            let count: u32 = count.parse().map_err(|_| expected())?;
            return match (1..=count).contains(&number) {
                true => Ok(Self::Part { number, count }),
                false => Err(expected()),
            };
        }
        let subset = match Share::parse(text) {
            Some(share) => Self::Share(share?),
            None => Self::Bytes(parse_size(text)?),
        };
        match subset {
            Self::Share(Share(0)) | Self::Bytes(0) => Err(expected()),
            subset => Ok(subset),
        }
    }
}

/// Reads a size in bytes: `1024`, `64K`, `10GiB` (powers of 1024), `10GB` (powers of 1000).
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let expected = || ValueError::new("a size is like 4096, 64K, 512MiB, 10GiB or 1T");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit = unit.to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix("ib") {
        Some(letter) => (letter, 1024_u64),
        None => unit.strip_suffix('b').map_or((unit.as_str(), 1024), |letter| (letter, 1000)),
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(expected()),
    };
    number.checked_mul(base.pow(power)).ok_or_else(expected)
}

/// Reads how many to keep: a number from 1, or `unlimited`.
pub fn parse_count(text: &str) -> Result<u32, ValueError> {
    let expected = || ValueError::new("a number from 1, or unlimited");
    match text {
        "unlimited" => Ok(u32::MAX),
        text => text.parse().ok().filter(|&count| count > 0).ok_or_else(expected),
    }
}

/// Reads a number of threads.
pub fn parse_threads(text: &str) -> Result<u32, ValueError> {
    let count: Option<u32> = text.parse().ok().filter(|count| (1..=THREAD_COUNT_MAX).contains(count));
    count.ok_or_else(|| ValueError::new(format!("a number from 1 to {THREAD_COUNT_MAX}")))
}
