//! Keys and sealing (`format-spec/03-keys-sealing.md`). The only room that touches ciphers and key
//! derivation.

mod gcm;
pub mod keyring;
pub mod password;
pub mod xaes;

pub use keyring::{KeyRing, MasterKey, gear_table};
pub use password::{KeyFileError, Secret};

/// A sealed thing does not open: it was damaged, exchanged, or sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct OpenError;
