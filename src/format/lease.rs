//! Leases (`format-spec/12-leases.md`): who does exclusive work.

use super::wire::{FormatError, Reader, Writer};
use crate::base::Time;

/// The body of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Random, one per run.
    pub owner: [u8; 16],
    /// Where the owner runs.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// What it does.
    pub command: String,
    /// Since when, by its own clock.
    pub started: Time,
    /// How long the lease holds without renewal; 0: free.
    pub ttl_seconds: u32,
    /// Counts renewals.
    pub sequence: u64,
}

impl Lease {
    /// Encodes the body.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Writer::new();
        out.raw(&self.owner).text(&self.host, "host")?.u32(self.pid).text(&self.command, "command")?;
        out.time(self.started).u32(self.ttl_seconds).u64(self.sequence);
        Ok(out.finish())
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "lease");
        let lease = Self {
            owner: input.array("owner")?,
            host: input.text("host")?,
            pid: input.u32("pid")?,
            command: input.text("command")?,
            started: input.time("started")?,
            ttl_seconds: input.u32("ttl")?,
            sequence: input.u64("sequence")?,
        };
        input.finish()?;
        Ok(lease)
    }
}
