//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::error::CliError;
use super::exit::ExitKind;

/// Returns a flag that the first SIGINT or SIGTERM sets; a second one ends the process at once with code 130.
pub fn watch() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the ending reads what an earlier signal has set.
        flag::register_conditional_shutdown(signal, i32::from(ExitKind::Interrupted.code()), stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| CliError::failed("cannot watch for signals").with_source(error))?;
    }
    Ok(stop)
}
