//! What a check found.

use std::collections::HashMap;

use crate::backend::ObjectKey;
use crate::base::PackId;
use crate::maintain::mark::{Loss, Losses, MarkStats};
use crate::repository::Error;

/// Findings kept of each severity; further ones are only counted.
const FINDINGS_MAX: u64 = 1_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something is damaged or gone.
    Error,
    /// Nothing is lost, but somebody should look.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The object, by its name in the store.
    pub object: String,
    /// What is the matter with it.
    pub what: String,
    /// How many paths, counted over all snapshots, cannot be restored because of it.
    pub files: u64,
}

/// The outcome of a check.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// The first thousand findings of each severity, in the order they were made.
    pub findings: Vec<Finding>,
    /// How many errors there are.
    pub errors: u64,
    /// How many warnings there are.
    pub warnings: u64,
    /// How many notes there are.
    pub notes: u64,
    /// The paths that cannot be restored.
    pub losses: Losses,
    /// What the walk through the snapshots saw.
    pub walked: MarkStats,
    /// Index objects read.
    pub indexes: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Stored size of those packs.
    pub pack_bytes: u64,
    /// Packs that no index object names.
    pub unreferenced_packs: u64,
    /// Stored size of those packs.
    pub unreferenced_bytes: u64,
    /// Packs that a prune plan names.
    pub pending_packs: u64,
    /// Packs read whole.
    pub packs_read: u64,
    /// Bytes of packs read whole.
    pub read_bytes: u64,
    /// Packs not read again, since an interrupted run that this one goes on with found them good.
    pub packs_read_before: u64,
    /// Stored size of those packs.
    pub read_before_bytes: u64,
    /// Blocks opened and decoded in the packs read.
    pub blocks_read: u64,
    /// Chunks re-hashed in them.
    pub chunks_read: u64,
    /// Places of the findings about an object.
    by_object: HashMap<String, usize>,
}

impl CheckReport {
    /// Tells whether anything is damaged or gone.
    pub fn is_damaged(&self) -> bool {
        self.errors > 0
    }

    /// Returns the named losses that `pack` caused.
    pub fn losses_of_pack(&self, pack: &PackId) -> impl Iterator<Item = &Loss> {
        self.losses.of_pack(pack)
    }

    pub(super) fn add(&mut self, severity: Severity, object: impl Into<String>, what: impl Into<String>) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        };
        *count += 1;
        if *count > FINDINGS_MAX {
            return;
        }
        let object = object.into();
        self.by_object.entry(object.clone()).or_insert(self.findings.len());
        self.findings.push(Finding { severity, object, what: what.into(), files: 0 });
    }

    pub(super) fn error(&mut self, object: impl Into<String>, what: impl Into<String>) {
        self.add(Severity::Error, object, what);
    }

    /// Adds an error as the repository reported it.
    pub(super) fn damage(&mut self, key: &ObjectKey, error: &Error) {
        let what = match error {
            Error::Damaged { reason, .. } => reason.clone(),
            error => error.to_string(),
        };
        self.error(key.path(), what);
    }

    /// Takes in what the walk found, and says of every damaged pack what it costs.
    pub(super) fn conclude(&mut self, losses: Losses) {
        for (pack, files) in &losses.packs {
            let object = ObjectKey::pack(pack).to_string();
            match self.by_object.get(&object).and_then(|at| self.findings.get_mut(*at)) {
                Some(finding) => finding.files = *files,
                None => {
                    self.error(object, "chunks in it cannot be read");
                    if let Some(finding) = self.findings.last_mut() {
                        finding.files = *files;
                    }
                }
            }
        }
        for (snapshot, files) in &losses.snapshots {
            let before = self.findings.len();
            self.error(ObjectKey::snapshot(snapshot).path(), "not all of it can be restored");
            if let Some(finding) = self.findings.get_mut(before) {
                finding.files = *files;
            }
        }
        self.losses = losses;
    }
}
