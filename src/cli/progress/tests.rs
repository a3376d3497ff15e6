use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::cli::output::Recorder;

#[derive(Debug, Clone, Default)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        let milliseconds = self.0.load(Ordering::SeqCst);
        Time { seconds: milliseconds / 1000, nanoseconds: (milliseconds % 1000) as u32 * 1_000_000 }
    }
}

/// A meter without a thread: the test ticks.
fn meter(json: bool) -> (Meter, TestClock, Recorder) {
    let recorder = Recorder::default();
    let stream = Box::new(recorder.clone());
    let view: Box<dyn View> = match json {
        true => Box::new(JsonView::new(Output::new(stream, true, false))),
        false => Box::new(PlainView::new(stream)),
    };
    let clock = TestClock::default();
    (Meter::new(view, None, Box::new(clock.clone())), clock, recorder)
}

fn run(meter: &Meter, clock: &TestClock, form: Form) {
    let interval = form.interval().unwrap();
    for phase in [Phase::Mark, Phase::Repack] {
        meter.begin(phase, Some(100), Some(100 << 20));
        for _ in 0..50 {
            clock.advance(500);
            meter.advance(1, 1 << 20);
            meter.core.tick(interval);
        }
        meter.end();
        meter.core.tick(interval);
    }
}

#[test]
fn plain_lines_come_at_most_every_ten_seconds_across_phases() {
    let (meter, clock, recorder) = meter(false);
    run(&meter, &clock, Form::Plain);
    // 50 seconds.
    let text = recorder.text();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert_eq!(
        text.lines().next(),
        Some("snap: mark: 20/100 snapshots, 20.0 MiB of 100.0 MiB (20%), 2.0 MiB/s, 40.0 s left")
    );
}

#[test]
fn json_lines_come_at_most_every_second_and_parse() {
    let (meter, clock, recorder) = meter(true);
    run(&meter, &clock, Form::Json);
    let text = recorder.text();
    assert_eq!(text.lines().count(), 50, "{text}");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        serde_json::json!({
            "type": "progress", "phase": "mark", "elapsed_seconds": 1, "files_done": 2, "files_total": 100,
            "bytes_done": 2 << 20, "bytes_total": 100 << 20, "stored_bytes": 0,
            "bytes_per_second": 2 << 20, "seconds_left": 49,
        })
    );
}

#[test]
fn nothing_is_shown_before_between_and_after_phases() {
    let (meter, clock, recorder) = meter(false);
    meter.core.tick(Duration::ZERO);
    meter.begin(Phase::Backup, None, None);
    meter.end();
    clock.advance(60_000);
    meter.core.tick(Duration::ZERO);
    meter.finish();
    assert_eq!(recorder.text(), "");
}

#[test]
fn unknown_totals_are_left_out_and_a_phase_restarts_the_counters() {
    let (meter, clock, recorder) = meter(false);
    meter.begin(Phase::Backup, None, None);
    meter.advance(1, 2048);
    meter.stored(1024);
    meter.current(b"/srv/\x1b[31mred");
    clock.advance(1000);
    meter.core.tick(Duration::ZERO);
    meter.begin(Phase::Restore, None, Some(10));
    clock.advance(1000);
    meter.core.tick(Duration::ZERO);
    assert_eq!(
        recorder.text(),
        "snap: backup: 1 file, 2.0 KiB, 2.0 KiB/s, stored 1.0 KiB, /srv/\\u{1b}[31mred\n\
         snap: restore: 0 B of 10 B (0%), 0 B/s\n"
    );
}

#[test]
fn messages_are_shown_at_once_and_escaped() {
    let (plain, _, recorder) = meter(false);
    plain.warn("watch\nout");
    plain.source_error(b"/a\xff", "permission denied");
    assert_eq!(recorder.text(), "snap: warning: watch\\u{a}out\nsnap: warning: /a\\xff: permission denied\n");
    let (json, _, recorder) = meter(true);
    json.warn("watch out");
    json.source_error(b"/a\xff", "permission denied");
    let text = recorder.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"type": "warning", "message": "watch out"}));
    assert_eq!(lines[1]["type"], "file_error");
    assert_eq!(lines[1]["path_hex"], "2f61ff");
}

#[test]
fn the_thread_shows_what_is_counted_and_ends_with_the_meter() {
    let recorder = Recorder::default();
    let view = Box::new(PlainView::new(Box::new(recorder.clone())));
    let interval = Some(Duration::from_millis(1));
    let meter = Meter::new(view, interval, Box::new(MonotonicClock(Instant::now())));
    meter.begin(Phase::Check, None, None);
    while recorder.text().is_empty() {
        std::thread::yield_now();
    }
    meter.finish();
    let shown = recorder.text();
    assert!(shown.starts_with("snap: check: 0 B"), "{shown}");
    meter.begin(Phase::Check, None, None);
    assert!(lock(&meter.ticker).is_none());
}

#[test]
fn the_form_follows_options_and_terminal() {
    let globals = |json, quiet, progress| Globals { json, quiet, progress, ..Globals::default() };
    let auto = globals(false, false, ProgressWhen::Auto);
    assert_eq!(Form::choose(&auto, true, Some("xterm")), Form::Bars);
    assert_eq!(Form::choose(&auto, true, Some("dumb")), Form::Plain);
    assert_eq!(Form::choose(&auto, true, None), Form::Plain);
    assert_eq!(Form::choose(&auto, false, Some("xterm")), Form::Plain);
    let cases = [
        (globals(true, false, ProgressWhen::Auto), Form::Json),
        (globals(true, true, ProgressWhen::Auto), Form::MessagesJson),
        (globals(false, true, ProgressWhen::Auto), Form::MessagesPlain),
        (globals(false, true, ProgressWhen::Always), Form::Bars),
        (globals(false, false, ProgressWhen::Never), Form::MessagesPlain),
        (globals(true, false, ProgressWhen::Never), Form::MessagesJson),
    ];
    for (globals, form) in cases {
        assert_eq!(Form::choose(&globals, true, Some("xterm")), form, "{globals:?}");
    }
}
