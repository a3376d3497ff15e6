//! The space that is kept for maintenance, so that a full store can be made smaller.

use super::{Error, Repository};

impl Repository {
    /// Takes the reserve aside again, as far as there is space; returns whether there was enough. It is a
    /// help, and no reason to fail.
    pub fn keep_reserve(&self) -> bool {
        self.backend.keep_reserve().unwrap_or(true)
    }

    /// Runs `write`, and once more with the reserve given free when there was no space for it.
    ///
    /// For what is small and is written in order to delete: never for packs.
    pub(crate) fn with_reserve<T>(&self, mut write: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        match write() {
            Err(error) if error.is_full() && self.backend.spend_reserve()? => write(),
            outcome => outcome,
        }
    }
}
