//! Names as people may see them: control characters and stray bytes never reach a terminal.

use std::fmt::Write;

/// Returns `name` for display: valid text as it is, control characters, backslashes before them,
/// bidirectional overrides and bytes that are not UTF-8 as `\xNN` or `\u{N}`.
pub fn escape_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_unsafe(c) => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
                }
                c => text.push(c),
            }
        }
        for byte in part.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_and_stray_bytes_are_shown_not_sent() {
        assert_eq!(escape_name(b"a\x1b[31m\n\xff\\ok"), "a\\u{1b}[31m\\u{a}\\xff\\\\ok");
        assert_eq!(escape_name("größe".as_bytes()), "größe");
    }
}
