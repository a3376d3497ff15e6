//! `snap`: a content-addressed, deduplicating, encrypted backup engine.
//!
//! The rooms stand in the order in which data flows; each imports only rooms above it in this list
//! (`tests/it/tidy.rs` enforces it).
//!
//! | room | what it does |
//! |---|---|
//! | [`base`] | ids, limits, clock and randomness, progress, escaping: no other room |
//! | [`source`] | where bytes come from: walking, filters, files, streams, commands, their class |
//! | [`container`] | what lies inside a file: tensors of model containers, tables of dumps |
//! | [`chunker`] | plaintext to chunks: gear table and cut points |
//! | [`mod@format`] | the bytes of every object, encode and decode only (`format-spec/`) |
//! | [`crypto`] | subkeys, hint, key derivation |
//! | [`codec`] | a block's transform and coder, with and without base |
//! | [`backend`] | where objects go: directory, S3, and wrappers |
//! | [`pack`] | blocks into packs and back |
//! | [`index`] | the local index database |
//! | [`repository`] | an opened repository: keys, typed objects, chunk access, leases |
//! | [`query`] | reading what is there: snapshots, paths, find, diff, statistics |
//! | [`backup`] | source → chunks → blocks → packs → index → snapshot |
//! | [`restore`] | snapshot → files, tar or stdout |
//! | [`maintain`] | check, retention, prune, repair, copy |
//! | [`cli`] | arguments, output, exit codes: the only room that prints |

pub mod backend;
pub mod backup;
pub mod base;
pub mod chunker;
pub mod cli;
pub mod codec;
pub mod container;
pub mod crypto;
pub mod format;
pub mod index;
pub mod maintain;
pub mod pack;
pub mod query;
pub mod repository;
pub mod restore;
pub mod source;
