//! Laws of prune, on a store in memory with a clock set by hand.

mod crash;
mod laws;
mod moves;
pub(crate) mod world;
