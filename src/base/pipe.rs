//! Pipes that hold more at once.

use std::os::fd::AsFd;

/// Bytes that a pipe is asked to hold, as many as Linux lets any user ask for.
const PIPE_BYTES: usize = 1 << 20;

/// Makes `stream` hold a MiB if it is a pipe, so that the two ends wait for each other less often. What is no
/// pipe stays what it is, and a pipe for which the system has no more room as long as it is.
pub(crate) fn widen(stream: impl AsFd) {
    // Slower is no error.
    let _ = rustix::pipe::fcntl_setpipe_size(stream, PIPE_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_widened_and_a_file_is_left_alone() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let size_bytes = || rustix::pipe::fcntl_getpipe_size(&reader).unwrap();
        let before = size_bytes();
        widen(&reader);
        assert!(size_bytes() > before, "{before}");
        widen(tempfile::tempfile().unwrap());
    }
}
