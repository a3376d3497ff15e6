//! Reading what was restored once more and comparing it with the chunk ids.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rustix::fs::{Advice, fadvise};

use super::RestoreError;
use super::files::open_existing;
use super::run::Run;
use super::walk::Visitor;
use crate::format::node::{ChunkRef, Node, NodeKind};
use crate::repository::{Error, ListReader};

/// References compared in one go.
const REFERENCES_MAX: usize = 1 << 14;
/// Files open in one go.
const FILES_MAX: usize = 128;

struct Opened {
    path: Vec<u8>,
    file: File,
    is_wrong: AtomicBool,
    is_complete: bool,
}

/// Walks over what was restored and compares it.
pub(super) struct VerifyPass<'r, 'a> {
    run: &'r Run<'a>,
    files: Vec<Opened>,
    references: Vec<(usize, ChunkRef, u64)>,
    ordinal: u64,
}

impl<'r, 'a> VerifyPass<'r, 'a> {
    pub(super) fn new(run: &'r Run<'a>) -> Self {
        Self { run, files: Vec::new(), references: Vec::new(), ordinal: 0 }
    }

    /// Compares what is still waiting.
    pub(super) fn finish(mut self) -> Result<(), RestoreError> {
        self.compare()
    }

    fn open(&self, path: &[u8], size_bytes: u64) -> io::Result<File> {
        let (directory, name) = self.run.target.parent(path)?;
        let file = open_existing(&directory, name, None)?;
        if file.metadata()?.len() != size_bytes {
            return Err(io::Error::other("its size is not that of the snapshot"));
        }
        // So that the disk is read, where the pages are written back already. Only advice.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        Ok(file)
    }

    fn add(&mut self, path: &[u8], node: &Node) -> Result<(), RestoreError> {
        let NodeKind::File { size_bytes, content, .. } = &node.kind else { return Ok(()) };
        let file = match self.open(path, *size_bytes) {
            Ok(file) => file,
            Err(error) => return self.run.refused(path, "verify", error),
        };
        let opened =
            Opened { path: path.to_vec(), file, is_wrong: AtomicBool::new(false), is_complete: false };
        self.files.push(opened);
        let mut offset = 0;
        let mut list = ListReader::new(self.run.reader, content, *size_bytes)?;
        while let Some(chunk) = list.next_chunk()? {
            self.references.push((self.files.len() - 1, chunk, offset));
            offset += u64::from(chunk.length_bytes);
            if self.references.len() >= REFERENCES_MAX {
                self.compare()?;
            }
        }
        if let Some(last) = self.files.last_mut() {
            last.is_complete = true;
        }
        if self.files.len() >= FILES_MAX { self.compare() } else { Ok(()) }
    }

    fn compare(&mut self) -> Result<(), RestoreError> {
        let (run, files) = (self.run, &self.files);
        self.references.par_iter().try_for_each_init(Vec::new, |buffer, (number, chunk, offset)| {
            run.repository().check_stop()?;
            let opened = &files[*number];
            buffer.resize(chunk.length_bytes as usize, 0);
            let is_right = opened.file.read_exact_at(buffer, *offset).is_ok()
                && run.repository().keys().data_id(buffer) == chunk.id;
            if !is_right {
                opened.is_wrong.store(true, Ordering::Relaxed);
            }
            Ok::<(), RestoreError>(())
        })?;
        self.references.clear();
        let rest = self.files.pop_if(|last| !last.is_complete);
        for opened in self.files.drain(..) {
            if opened.is_wrong.into_inner() {
                let reason = "what was written does not read back".to_owned();
                run.stats().fail(&opened.path, reason);
            } else {
                run.stats().verified_files += 1;
            }
        }
        self.files.extend(rest);
        Ok(())
    }
}

impl Visitor for VerifyPass<'_, '_> {
    fn directory(&mut self, path: &[u8], _: &Node) -> Result<bool, RestoreError> {
        Ok(self.run.target.directory(path).is_ok())
    }

    fn entry(&mut self, path: &[u8], node: Node) -> Result<(), RestoreError> {
        self.ordinal += 1;
        if self.run.is_restored(self.ordinal) { self.add(path, &node) } else { Ok(()) }
    }

    fn leave(&mut self, _: &[u8], _: Option<&Node>, _: bool) -> Result<(), RestoreError> {
        Ok(())
    }

    fn damaged(&mut self, _: &[u8], _: &Error) -> Result<(), RestoreError> {
        Ok(())
    }
}
