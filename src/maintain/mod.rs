//! Keeping a repository healthy: what may go, what must stay.

pub mod retention;
