//! Keeping a repository healthy: what may go, what must stay.

pub mod check;
pub mod copy;
pub mod forget;
pub mod mark;
pub mod prune;
mod reindex;
pub mod repair;
pub mod retention;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
