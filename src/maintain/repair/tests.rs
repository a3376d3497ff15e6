//! Laws of repair: what can be read stays, what is lost is named, and a later backup heals it.

mod index;
mod packs;
mod snapshots;
