use std::io::Read;
use std::sync::mpsc;

use super::*;

fn shell(script: &str) -> Box<dyn Stream> {
    spawn_command(&spec(script)).unwrap()
}

fn spec(script: &str) -> CommandSpec {
    CommandSpec { argv: ["sh", "-c", script].map(OsString::from).to_vec() }
}

fn read_all(stream: &mut dyn Stream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Runs `script` to its end and returns how it failed: status and the end of its standard error.
fn failure(script: &str) -> (String, String) {
    let mut stream = shell(script);
    read_all(&mut *stream);
    match stream.finish().unwrap_err() {
        StreamError::Failed { status, stderr_tail, .. } => (status, stderr_tail),
        other => panic!("{other}"),
    }
}

/// Waits until nobody holds the other end of the pipe: a law about processes that are gone, with no time in
/// it.
fn read_to_close(mut pipe: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    pipe.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn a_command_that_ends_well_gives_all_its_output_in_order() {
    let mut stream = shell("seq 1 200000");
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(read_all(&mut *stream), expected.as_bytes());
    assert_eq!(stream.finish().unwrap(), StreamEnd { exit_status: 0 });
}

#[test]
fn a_command_reads_nothing() {
    let mut stream = shell("cat; echo end");
    assert_eq!(read_all(&mut *stream), b"end\n");
    stream.finish().unwrap();
}

#[test]
fn much_on_both_outputs_does_not_block_and_the_end_of_stderr_is_kept() {
    let (status, tail) = failure("seq 1 50000 >&2; seq 1 50000; echo last >&2; exit 3");
    assert_eq!(status, "exit status 3");
    assert!(tail.ends_with("50000\nlast"), "{}", &tail[tail.len() - 50..]);
    assert!(tail.len() <= STDERR_TAIL_MAX_BYTES);
}

#[test]
fn stderr_is_escaped_by_line() {
    let (_, tail) = failure("printf 'one\\r\\n\\033[31mtwo\\377\\n\\n' >&2; exit 1");
    assert_eq!(tail, "one\n\\u{1b}[31mtwo\\xff");
}

#[test]
fn a_killed_command_names_its_signal() {
    assert_eq!(failure("kill -9 $$").0, "killed by signal 9");
}

#[test]
fn errors_show_the_program_and_never_its_arguments() {
    let mut stream = shell("exit 1; # secret");
    read_all(&mut *stream);
    let error = stream.finish().unwrap_err();
    assert_eq!(error.to_string(), "sh (2 arguments) failed: exit status 1");
    assert!(!format!("{error:?} {:?}", spec("secret")).contains("secret"));
}

#[test]
fn a_program_that_is_not_there_does_not_start() {
    let spec = CommandSpec::parse("/no/such/program --password=x").unwrap();
    let error = spawn_command(&spec).map(|_| ()).unwrap_err();
    assert!(matches!(error, StreamError::Start { .. }));
    assert_eq!(error.to_string(), "cannot start /no/such/program (1 argument)");
    assert!(matches!(spawn_command(&CommandSpec { argv: vec![] }).map(|_| ()), Err(StreamError::NoCommand)));
}

#[test]
fn a_stream_that_was_not_read_to_its_end_is_not_whole() {
    let mut stream = shell("echo output");
    let mut buffer = [0; 3];
    assert_eq!(stream.read(&mut buffer).unwrap(), 3);
    assert!(matches!(stream.finish(), Err(StreamError::Unread { .. })));
}

#[test]
fn each_piece_of_stderr_is_handed_on() {
    let (sender, receiver) = mpsc::channel();
    let sink: StderrSink = Box::new(move |bytes| sender.send(bytes.to_vec()).unwrap());
    let mut stream = spawn_command_with(&spec("echo warning >&2"), Some(sink)).unwrap();
    read_all(&mut *stream);
    stream.finish().unwrap();
    assert_eq!(receiver.iter().collect::<Vec<_>>().concat(), b"warning\n");
}

#[test]
fn dropping_an_unfinished_stream_ends_the_command_and_what_it_started() {
    let (reader, writer) = io::pipe().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&writer));
    // The child that the shell starts holds the pipe open until it is gone.
    let mut stream = shell(&format!("exec 3>{path}; sleep 1000 & echo started; wait"));
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer).unwrap(), 8);
    drop(writer);
    drop(stream);
    assert_eq!(read_to_close(reader), b"");
}

#[test]
fn a_command_that_ignores_the_request_to_end_is_killed() {
    let mut stream = shell("trap '' TERM; echo $$; while :; do sleep 1; done");
    let mut buffer = [0; 16];
    let read = stream.read(&mut buffer).unwrap();
    let process = format!("/proc/{}", String::from_utf8_lossy(&buffer[..read]).trim_end());
    assert!(Path::new(&process).exists());
    drop(stream);
    assert!(!Path::new(&process).exists());
}

#[test]
fn a_stopped_command_is_never_whole_even_when_it_ends_well() {
    let mut stream = shell("trap 'exit 0' TERM; echo started; while :; do sleep 0.01; done");
    let stopper = stream.stopper().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer).unwrap(), 8);
    stopper.stop();
    read_all(&mut *stream);
    assert!(matches!(stream.finish(), Err(StreamError::Stopped { .. })));
    // Nothing is left to stop; the number may be somebody else's by now.
    stopper.stop();
    assert_eq!(stopper.group.lock().pid, None);
}

#[test]
fn a_second_stop_kills() {
    let mut stream = shell("trap '' TERM; echo started; while :; do sleep 0.01; done");
    let stopper = stream.stopper().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer).unwrap(), 8);
    stopper.stop();
    stopper.stop();
    read_all(&mut *stream);
    assert!(matches!(stream.finish(), Err(StreamError::Stopped { .. })));
}

#[test]
fn a_child_left_behind_by_a_command_that_ended_well_does_not_hold_it_up() {
    // It holds standard error open.
    let mut stream = shell("sleep 10 >/dev/null & echo done");
    assert_eq!(read_all(&mut *stream), b"done\n");
    stream.finish().unwrap();
}
