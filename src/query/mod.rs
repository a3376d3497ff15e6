//! Reading what is there: choosing snapshots and paths.

pub mod select;
