//! The promises of `docs/reliability.md`: what is broken here at every place costs nothing that was stored.
//!
//! Everything runs in memory, by a clock set by hand and by seeds that are printed.

mod commands;
mod crash;
pub(crate) mod damage;
mod damage_small;
mod fault;
mod init;
mod meanwhile;
mod model;
mod museum;
mod repair;
mod turns;
mod witness;
pub(crate) mod world;
