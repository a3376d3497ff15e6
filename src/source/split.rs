//! Command lines cut into words as a shell cuts them, without a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Most words of a command line.
const WORD_COUNT_MAX: usize = 65_536;

/// A command line cannot be cut into words. Its text may hold secrets and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote does not end.
    #[error("the command line has a {0} that does not end")]
    Unbalanced(char),
    /// A backslash with nothing after it.
    #[error("the command line ends in a backslash")]
    Backslash,
    /// Something that only a shell can do.
    #[error("the command line has a {0} outside of quotes, and no shell runs it: quote it, or run sh -c '…'")]
    NeedsShell(char),
    /// A byte that no argument can hold.
    #[error("the command line has a NUL byte")]
    Nul,
    /// No words.
    #[error("the command line is empty")]
    Empty,
    /// More words than any system takes.
    #[error("the command line has more than {WORD_COUNT_MAX} words")]
    TooMany,
}

/// Cuts `text` at unquoted space. `'…'` is taken as it is; in `"…"` a backslash keeps its meaning before `"`,
/// `\`, `$` and a backquote; elsewhere it takes the next byte as it is. Nothing is expanded: what a shell
/// would expand or act on is refused where it is not quoted, so that it never silently becomes an argument.
pub(super) fn split(text: &OsStr) -> Result<Vec<OsString>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.as_bytes().iter().copied();
    if text.as_bytes().contains(&0) {
        return Err(SplitError::Nul);
    }
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                words.extend(word.take().map(OsString::from_vec));
                if words.len() > WORD_COUNT_MAX {
                    return Err(SplitError::TooMany);
                }
            }
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next().ok_or(SplitError::Unbalanced('\''))? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => double_quoted(&mut bytes, word.get_or_insert_default())?,
            b'\\' => word.get_or_insert_default().push(bytes.next().ok_or(SplitError::Backslash)?),
            b'|' | b'&' | b';' | b'<' | b'>' | b'$' | b'`' => {
                return Err(SplitError::NeedsShell(char::from(byte)));
            }
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word.map(OsString::from_vec));
    if words.is_empty() { Err(SplitError::Empty) } else { Ok(words) }
}

fn double_quoted(bytes: &mut impl Iterator<Item = u8>, word: &mut Vec<u8>) -> Result<(), SplitError> {
    loop {
        match bytes.next().ok_or(SplitError::Unbalanced('"'))? {
            b'"' => return Ok(()),
            b'\\' => match bytes.next().ok_or(SplitError::Unbalanced('"'))? {
                byte @ (b'"' | b'\\' | b'$' | b'`') => word.push(byte),
                byte => word.extend([b'\\', byte]),
            },
            byte @ (b'$' | b'`') => return Err(SplitError::NeedsShell(char::from(byte))),
            byte => word.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Result<Vec<String>, SplitError> {
        let words = split(OsStr::new(text))?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        for (text, expected) in [
            ("pg_dump -Fc 'my db'", vec!["pg_dump", "-Fc", "my db"]),
            ("  a\t b\n", vec!["a", "b"]),
            ("a'b'\"c\"\\ d", vec!["abc d"]),
            ("'' \"\"", vec!["", ""]),
            (r#""a\"b\\c\$d\e""#, vec![r#"a"b\c$d\e"#]),
            (r"'a\b|$x'", vec![r"a\b|$x"]),
            (r"\' \| \\", vec!["'", "|", "\\"]),
            ("\"a|b;c\"", vec!["a|b;c"]),
            ("a#b --x=*.c ~", vec!["a#b", "--x=*.c", "~"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_does_not_end_or_needs_a_shell_is_refused() {
        for (text, expected) in [
            ("a 'b", SplitError::Unbalanced('\'')),
            ("a \"b", SplitError::Unbalanced('"')),
            ("a \"b\\", SplitError::Unbalanced('"')),
            ("a \\", SplitError::Backslash),
            ("", SplitError::Empty),
            (" \n", SplitError::Empty),
            ("a\0b", SplitError::Nul),
            ("a | b", SplitError::NeedsShell('|')),
            ("a > b", SplitError::NeedsShell('>')),
            ("a \"$HOME\"", SplitError::NeedsShell('$')),
            ("a `b`", SplitError::NeedsShell('`')),
        ] {
            assert_eq!(words(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn single_quoting_any_arguments_gives_them_back(args in prop::collection::vec("[^\0]{0,12}", 1..6)) {
            let quote = |arg: &String| format!("'{}'", arg.replace('\'', r"'\''"));
            let quoted: Vec<String> = args.iter().map(quote).collect();
            prop_assert_eq!(words(&quoted.join(" ")).unwrap(), args);
        }
    }
}
