//! Laws of prune, on a store in memory with a clock set by hand.

mod crash;
mod full;
mod laws;
mod moves;
pub(crate) mod world;
