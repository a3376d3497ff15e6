//! Secrets as text: raw key files and printed sheets (`format-spec/03-keys-sealing.md` 3.6).

use std::fmt::Write;

use zeroize::Zeroizing;

/// What a sheet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetKind {
    /// The 32-byte secret of a raw key file.
    Raw,
    /// Repository id and master key, 48 bytes.
    Master,
}

impl SheetKind {
    fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Master => "master",
        }
    }

    fn size_bytes(self) -> usize {
        match self {
            Self::Raw => 32,
            Self::Master => 48,
        }
    }
}

/// A sheet that cannot be read. Never holds any of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SheetError {
    /// The first line is not `snap secret v1 <kind>`.
    #[error("is not a snap secret: the first line must read `snap secret v1 raw` or `snap secret v1 master`")]
    Head,
    /// A numbered line does not match its check.
    #[error("line {number} of the secret has a typing error")]
    Line {
        /// Its number, from 1.
        number: usize,
    },
    /// Lines are missing, doubled, or behind the end.
    #[error("the secret is incomplete: it must have {expected} numbered lines and `end`")]
    Incomplete {
        /// How many numbered lines there must be.
        expected: usize,
    },
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const PIECE_BYTES: usize = 10;

/// Returns the sheet of `secret`, which must have the length of its kind.
pub fn encode(kind: SheetKind, secret: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!("snap secret v1 {}\n", kind.word()));
    for (number, piece) in secret.chunks(PIECE_BYTES).enumerate() {
        let groups = Zeroizing::new(base32(piece));
        // Writing to a String cannot fail.
        let _ = write!(text, "{}:", number + 1);
        for group in groups.as_bytes().chunks(4) {
            let _ = write!(text, " {}", String::from_utf8_lossy(group));
        }
        let _ = writeln!(text, " {}", check(kind, number + 1, piece));
    }
    text.push_str("end\n");
    text
}

/// Reads a sheet; comments, blank lines, spacing and case do not matter.
pub fn decode(text: &str) -> Result<(SheetKind, Zeroizing<Vec<u8>>), SheetError> {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| Zeroizing::new(line.split_whitespace().collect::<String>().to_ascii_lowercase()))
        .filter(|line| !line.is_empty());
    let kind = match lines.next().as_ref().map(|line| line.as_str()) {
        Some("snapsecretv1raw") => SheetKind::Raw,
        Some("snapsecretv1master") => SheetKind::Master,
        _ => return Err(SheetError::Head),
    };
    let expected = kind.size_bytes().div_ceil(PIECE_BYTES);
    let mut secret = Zeroizing::new(Vec::with_capacity(kind.size_bytes()));
    for number in 1..=expected {
        let line = lines.next().ok_or(SheetError::Incomplete { expected })?;
        let bad = || SheetError::Line { number };
        let body = line.strip_prefix(&format!("{number}:")).ok_or(SheetError::Incomplete { expected })?;
        let (groups, given) = body.split_at_checked(body.len().saturating_sub(2)).ok_or_else(bad)?;
        let wanted = PIECE_BYTES.min(kind.size_bytes() - secret.len());
        let piece = Zeroizing::new(unbase32(groups, wanted).ok_or_else(bad)?);
        if check(kind, number, &piece) != given {
            return Err(bad());
        }
        secret.extend_from_slice(&piece);
    }
    match (lines.next().as_ref().map(|line| line.as_str()), lines.next()) {
        (Some("end"), None) => Ok((kind, secret)),
        _ => Err(SheetError::Incomplete { expected }),
    }
}

fn check(kind: SheetKind, number: usize, piece: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"snap sheet").update(kind.word().as_bytes());
    // At most five lines.
    hasher.update(&[u8::try_from(number).unwrap_or(u8::MAX)]).update(piece);
    base32(&hasher.finalize().as_bytes()[..2]).chars().take(2).collect()
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    for at in 0..(bytes.len() * 8).div_ceil(5) {
        let mut value = 0;
        for bit in at * 5..at * 5 + 5 {
            let set = bytes.get(bit / 8).is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1);
            value = value * 2 + usize::from(set);
        }
        text.push(char::from(ALPHABET[value]));
    }
    text
}

fn unbase32(text: &str, size_bytes: usize) -> Option<Vec<u8>> {
    if text.len() != (size_bytes * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = vec![0_u8; size_bytes];
    for (at, digit) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        for bit in 0..5 {
            let place = at * 5 + bit;
            let set = value >> (4 - bit) & 1 == 1;
            match bytes.get_mut(place / 8) {
                Some(byte) if set => *byte |= 1 << (7 - place % 8),
                // Bits behind the last byte pad with zero.
                None if set => return None,
                _ => {}
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_typed_back_in_any_case_and_spacing_is_the_secret() {
        for kind in [SheetKind::Raw, SheetKind::Master] {
            let secret: Vec<u8> = (0..kind.size_bytes()).map(|n| u8::try_from(n * 5).unwrap()).collect();
            let text = encode(kind, &secret);
            let typed = format!("# mine\n\n{}", text.to_uppercase().replace(' ', "  "));
            let (read_kind, read) = decode(&typed).unwrap();
            assert_eq!((read_kind, read.as_slice()), (kind, secret.as_slice()));
        }
    }

    #[test]
    fn the_line_with_a_typing_error_is_named() {
        let text = encode(SheetKind::Raw, &[0x5a; 32]);
        let third = text.lines().nth(3).unwrap().to_owned();
        let wrong = third.replacen(third.chars().nth(3).unwrap(), "7", 1);
        assert_ne!(third, wrong);
        assert_eq!(decode(&text.replace(&third, &wrong)), Err(SheetError::Line { number: 3 }));
        assert_eq!(decode("hello"), Err(SheetError::Head));
        assert_eq!(decode(&text.replace("end", "")), Err(SheetError::Incomplete { expected: 4 }));
    }
}
