//! Errors as people and scripts see them.

use std::io::{self, Write};

use serde_json::json;

use super::error::CliError;
use super::exit::ExitKind;
use crate::base::escape::escape_name;

/// Prints `error` on stderr, and with `json` as the last line of stdout, and returns how the run ends.
pub fn failure(error: &CliError, json: bool) -> ExitKind {
    if error.kind() == ExitKind::Ok {
        return ExitKind::Ok;
    }
    // When neither stream can be written to, the exit code is all that is left to say.
    let _ = match json {
        true => writeln!(io::stdout().lock(), "{}", json_line(error)),
        false => io::stderr().lock().write_all(text(error).as_bytes()),
    };
    error.kind()
}

/// Prints what clap says, a usage error or help, and returns how the run ends.
pub fn usage(error: &clap::Error, json: bool) -> ExitKind {
    if error.exit_code() != 0 && json {
        let rendered = error.render().to_string();
        let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return failure(&CliError::usage(first), true);
    }
    let _ = error.print();
    match error.exit_code() {
        0 => ExitKind::Ok,
        _ => ExitKind::Usage,
    }
}

/// Returns `error` for people, ended, in one line: what failed, its causes, then the next steps.
pub fn text(error: &CliError) -> String {
    let mut text = format!("snap: error: {}", one_line(&error.to_string()));
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&one_line(&cause));
    }
    for hint in error.hints() {
        text.push_str("; ");
        text.push_str(&one_line(hint));
    }
    text.push('\n');
    text
}

/// Returns `error` as one JSON line, without its end.
pub fn json_line(error: &CliError) -> String {
    json!({
        "type": "exit_error",
        "code": error.kind().code(),
        "message": error.to_string(),
        "causes": error.causes(),
        "hints": error.hints(),
        "details": error.details(),
    })
    .to_string()
}

/// Returns `message` on one line. Messages escape the names they hold; this catches what a cause from
/// elsewhere (a server's answer) may hold, and leaves backslashes alone, so that nothing is escaped twice.
pub fn one_line(message: &str) -> String {
    message.split('\\').map(|part| escape_name(part.as_bytes())).collect::<Vec<_>>().join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CliError {
        let cause =
            CliError::failed("cannot read a\u{1b}[31m\nb").with_source(io::Error::other("disk on fire"));
        CliError::new(ExitKind::Damaged, "pack 3f9a12c0 is damaged")
            .with_source(cause)
            .with_hint("run snap check")
    }

    #[test]
    fn an_error_is_one_line_with_causes_and_next_step_and_no_control_characters() {
        assert_eq!(
            text(&sample()),
            "snap: error: pack 3f9a12c0 is damaged: cannot read a\\u{1b}[31m\\u{a}b: disk on fire; run snap \
             check\n"
        );
    }

    #[test]
    fn json_errors_are_one_line_with_type_code_and_message() {
        let line = json_line(&sample());
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["type"], "exit_error");
        assert_eq!(value["code"], 13);
        assert_eq!(value["message"], "pack 3f9a12c0 is damaged");
        assert_eq!(value["causes"][1], "disk on fire");
    }

    #[test]
    fn a_cause_that_its_effect_repeats_is_said_once() {
        let error =
            CliError::failed("cannot open x: no such file").with_source(io::Error::other("no such file"));
        assert!(error.causes().is_empty());
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let closed = CliError::output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure(&closed, false), ExitKind::Ok);
        let full = CliError::output(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.kind(), ExitKind::Failed);
    }

    #[test]
    fn a_message_with_escaped_names_is_not_escaped_again() {
        assert_eq!(one_line(&escape_name(b"a\\b\x07")), "a\\\\b\\u{7}");
    }
}
