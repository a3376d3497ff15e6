//! Reading what is there: choosing snapshots and paths, walking them, and comparing and counting what they
//! hold.
//!
//! Everything here answers in typed values and prints nothing. Memory is bounded whatever a snapshot holds: a
//! walk keeps the leaf that it reads of a few directories, and sets of chunks are bitmaps over the ordinals
//! of the local index.

pub mod diff;
pub mod find;
pub mod list;
pub mod select;
pub mod snapshots;
pub mod stats;
pub mod walk;

mod content;
mod directory;
mod error;
mod ordinals;
mod parts;

#[cfg(test)]
mod fixture;

pub use error::QueryError;
