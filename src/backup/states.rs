//! Files of an unfinished run: what was read whole is not read again when the run is repeated.

use crate::format::node::{FileContent, Node, NodeKind};
use crate::format::wire::{Reader, Writer};
use crate::repository::{Error, Repository};
use crate::source::{Attributes, Metadata};

/// Only files from this size on are remembered: smaller ones are read again faster than they are looked up.
pub(super) const STATE_FROM_BYTES: u64 = 1 << 20;
/// States written together.
const BATCH: usize = 64;

/// Returns what must be equal for a file to count as unchanged.
fn fingerprint(metadata: &Metadata) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(metadata.size_bytes).time(metadata.mtime).time(metadata.ctime).u64(metadata.inode);
    out.finish()
}

/// Returns the content of a file that an unfinished run read whole and that is as it was then.
pub(super) fn stored_state(
    repository: &Repository,
    job: &[u8],
    path: &[u8],
    metadata: &Metadata,
) -> Result<Option<(FileContent, u8, Attributes)>, Error> {
    if metadata.size_bytes < STATE_FROM_BYTES {
        return Ok(None);
    }
    let Some((stored, node)) = repository.index().file_state(job, path)? else { return Ok(None) };
    if stored != fingerprint(metadata) {
        return Ok(None);
    }
    let mut input = Reader::new(&node, "file state");
    match Node::decode(&mut input) {
        Ok(Node { kind: NodeKind::File { class, content, .. }, xattrs, .. }) => {
            Ok(Some((content, class, xattrs)))
        }
        // The database is a cache: what it cannot give is read again.
        _ => Ok(None),
    }
}

/// Gathers the states of files read whole.
#[derive(Debug)]
pub(super) struct StateLog {
    job: Vec<u8>,
    waiting: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

impl StateLog {
    /// Returns an empty log of one job.
    pub(super) fn new(job: Vec<u8>) -> Self {
        Self { job, waiting: Vec::new() }
    }

    /// Remembers a file.
    pub(super) fn record(
        &mut self,
        repository: &Repository,
        path: Vec<u8>,
        metadata: &Metadata,
        node: &Node,
    ) -> Result<(), Error> {
        if metadata.size_bytes < STATE_FROM_BYTES || node.changed {
            return Ok(());
        }
        let mut out = Writer::new();
        node.encode(&mut out)?;
        self.waiting.push((path, fingerprint(metadata), out.finish()));
        if self.waiting.len() >= BATCH {
            return self.flush(repository);
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, repository: &Repository) -> Result<(), Error> {
        if !self.waiting.is_empty() {
            repository.index().save_file_states(&self.job, &std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }

    /// Forgets the job's states: its snapshot has them now.
    pub(super) fn clear(self, repository: &Repository) -> Result<(), Error> {
        Ok(repository.index().clear_file_states(&self.job)?)
    }
}
