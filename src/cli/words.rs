//! A command line into words, as a shell reads quotes, without running a shell.

/// The command line cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash stands at the end.
    #[error("a backslash stands at the end")]
    OpenEscape,
    /// There is no word.
    #[error("the command is empty")]
    Empty,
}

/// Splits `line` at white space. Single quotes keep everything, double quotes everything but `\"` and `\\`; outside
/// of quotes a backslash keeps the next character. Nothing is expanded.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().push(chars.next().ok_or(WordsError::OpenEscape)?),
            (Some('"'), '\\') => {
                let escaped = chars.next_if(|next| matches!(next, '"' | '\\'));
                word.get_or_insert_default().push(escaped.unwrap_or('\\'));
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(WordsError::OpenQuote);
    }
    words.extend(word);
    match words.is_empty() {
        true => Err(WordsError::Empty),
        false => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell_without_expansion() {
        let line = r#"pass 'a b' "c \"d\" \n" e\ f '' $HOME *"#;
        assert_eq!(split(line).unwrap(), ["pass", "a b", r#"c "d" \n"#, "e f", "", "$HOME", "*"]);
    }

    #[test]
    fn open_quotes_and_nothing_are_refused() {
        assert_eq!(split("a 'b"), Err(WordsError::OpenQuote));
        assert_eq!(split("a \\"), Err(WordsError::OpenEscape));
        assert_eq!(split("  "), Err(WordsError::Empty));
    }
}
