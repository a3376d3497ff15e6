//! Laws of blocks that are coded against bases, from backup to restore.

mod copying;
mod damage;
mod hostile;
mod pruning;
pub(in crate::maintain) mod series;
