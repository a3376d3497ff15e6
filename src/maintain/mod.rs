//! Keeping a repository healthy: what may go, what must stay.

pub mod check;
pub mod mark;
pub mod repair;
pub mod retention;
#[cfg(test)]
mod testing;
