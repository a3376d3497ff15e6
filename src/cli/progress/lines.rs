//! Progress as lines: plain ones for logs, JSON for scripts.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::{Message, Reading, View};
use crate::base::escape::escape_name;
use crate::cli::json;
use crate::cli::output::Output;
use crate::cli::report::one_line;

/// Plain lines, each beginning with `snap: `. What cannot be written is lost: stderr has no other place to
/// go.
pub(super) struct PlainView {
    stream: Box<dyn Write + Send>,
}

impl PlainView {
    pub(super) fn new(stream: Box<dyn Write + Send>) -> Self {
        Self { stream }
    }

    fn line(&mut self, text: &str) {
        // One write a line, so that lines of several processes in one log do not mix.
        let _ = self.stream.write_all(format!("{text}\n").as_bytes());
        let _ = self.stream.flush();
    }
}

impl View for PlainView {
    fn show(&mut self, reading: &Reading) {
        let separator = if reading.details().is_empty() { "" } else { ", " };
        let text =
            format!("snap: {}: {}{separator}{}", reading.phase.word(), reading.amounts(), reading.details());
        self.line(&text);
    }

    fn message(&mut self, message: Message<'_>) {
        self.line(&plain_message(message));
    }

    fn clear(&mut self) {}
}

/// Returns a message as one line without its end.
pub(super) fn plain_message(message: Message<'_>) -> String {
    match message {
        Message::Warning(text) => format!("snap: warning: {}", one_line(text)),
        Message::SourceError(path, reason) => {
            format!("snap: warning: {}: {}", escape_name(path), one_line(reason))
        }
    }
}

/// JSON lines on the output of results. What cannot be written is found by the next result.
pub(super) struct JsonView {
    out: Output,
}

impl JsonView {
    pub(super) fn new(out: Output) -> Self {
        Self { out }
    }

    fn line(&self, kind: &str, fields: Value) {
        let _ = self.out.json(kind, fields).and_then(|()| self.out.flush());
    }
}

impl View for JsonView {
    fn show(&mut self, reading: &Reading) {
        let mut fields = Map::new();
        let numbers = [
            ("elapsed_seconds", Some(reading.elapsed.as_secs())),
            ("files_done", Some(reading.files)),
            ("files_total", reading.total_files),
            ("bytes_done", Some(reading.bytes)),
            ("bytes_total", reading.total_bytes),
            ("stored_bytes", Some(reading.stored_bytes)),
            ("bytes_per_second", reading.bytes_per_second()),
            ("seconds_left", reading.seconds_left()),
        ];
        fields.insert("phase".to_owned(), Value::from(reading.phase.word()));
        fields.extend(numbers.into_iter().map(|(key, number)| (key.to_owned(), Value::from(number))));
        if !reading.current.is_empty() {
            json::set_name(&mut fields, "current", &reading.current);
        }
        self.line("progress", Value::Object(fields));
    }

    fn message(&mut self, message: Message<'_>) {
        match message {
            Message::Warning(text) => self.line("warning", json!({ "message": text })),
            Message::SourceError(path, reason) => {
                let mut fields = Map::new();
                json::set_name(&mut fields, "path", path);
                fields.insert("message".to_owned(), Value::from(reason));
                self.line("file_error", Value::Object(fields));
            }
        }
    }

    fn clear(&mut self) {}
}
