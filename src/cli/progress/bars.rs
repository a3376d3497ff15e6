//! Progress as bars on a terminal. No colours: nothing depends on what the terminal makes of them.

use std::io::{Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::plain_message;
use super::{Message, Reading, View};

/// Pictures a second at most, whatever the ticker does.
const DRAW_RATE_HZ: u8 = 15;

/// Two lines: a bar with amounts, and what is being worked on. One bar a phase.
#[derive(Default)]
pub(super) struct BarView {
    bar: Option<ProgressBar>,
    has_total: bool,
}

impl BarView {
    fn bar(&mut self, has_total: bool) -> &ProgressBar {
        let is_new = self.bar.is_none();
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAW_RATE_HZ))
        });
        if is_new || self.has_total != has_total {
            self.has_total = has_total;
            bar.set_style(style(has_total));
        }
        bar
    }
}

fn style(has_total: bool) -> ProgressStyle {
    let template = match has_total {
        true => "[{bar:24}] {prefix}\n{wide_msg}",
        false => "{spinner} {prefix}\n{wide_msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").tick_chars("|/-\\ ")
}

impl View for BarView {
    fn show(&mut self, reading: &Reading) {
        let total_bytes = reading.total_bytes.filter(|&total| total > 0);
        let bar = self.bar(total_bytes.is_some());
        if let Some(total) = total_bytes {
            bar.set_length(total);
        }
        bar.set_prefix(format!("{}: {}", reading.phase.word(), reading.amounts()));
        bar.set_message(reading.details());
        bar.set_position(reading.bytes);
        bar.tick();
    }

    fn message(&mut self, message: Message<'_>) {
        let line = format!("{}\n", plain_message(message));
        let write = || {
            let _ = stderr().lock().write_all(line.as_bytes());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::progress::Phase;

    #[test]
    fn a_bar_shows_every_kind_of_reading_and_is_gone_after_clear() {
        let mut view = BarView::default();
        for total in [None, Some(0), Some(10), None] {
            view.show(&Reading {
                phase: Phase::Backup,
                elapsed: Duration::from_secs(1),
                files: 1,
                bytes: 20,
                total_files: total,
                total_bytes: total,
                stored_bytes: 5,
                current: b"/a".to_vec(),
            });
            let bar = view.bar.as_ref().unwrap();
            assert_eq!(view.has_total, total == Some(10));
            assert_eq!(bar.position(), 20);
            assert_eq!(bar.message(), "stored 5 B, /a");
        }
        view.clear();
        assert!(view.bar.is_none());
    }
}
