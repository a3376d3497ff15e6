//! Prune plans (`format-spec/11-plans.md`): packs that are pending deletion.

use super::wire::{FormatError, Reader, Writer, require_ascending};
use crate::base::limits::PLAN_PACK_COUNT_MAX;
use crate::base::{PackId, Time};

/// One pack of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanPack {
    /// Its id.
    pub id: PackId,
    /// Its stored size.
    pub size_bytes: u32,
}

/// A prune plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When it was made, by the maintainer's clock; the store's clock decides.
    pub created: Time,
    /// How long its packs stay.
    pub grace_seconds: u64,
    /// Who made it.
    pub host: String,
    /// The packs, sorted by id.
    pub packs: Vec<PlanPack>,
}

impl Plan {
    /// Encodes the body.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut out = Writer::new();
        out.time(self.created).u64(self.grace_seconds).text(&self.host, "host")?;
        out.count32(self.packs.len(), PLAN_PACK_COUNT_MAX, "packs of a plan")?;
        for pack in &self.packs {
            out.raw(&pack.id.0).u32(pack.size_bytes);
        }
        Ok(out.finish())
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "plan");
        let created = input.time("created")?;
        let grace_seconds = input.u64("grace")?;
        let host = input.text("host")?;
        let count = input.count32(PLAN_PACK_COUNT_MAX, 36, "packs of a plan")?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            packs.push(PlanPack { id: PackId(input.array("pack id")?), size_bytes: input.u32("pack size")? });
        }
        input.finish()?;
        let plan = Self { created, grace_seconds, host, packs };
        plan.validate()?;
        Ok(plan)
    }

    fn validate(&self) -> Result<(), FormatError> {
        if self.packs.is_empty() {
            return Err(FormatError::invalid("plan without packs"));
        }
        let ids: Vec<&PackId> = self.packs.iter().map(|pack| &pack.id).collect();
        require_ascending(&ids, "order of packs in a plan")
    }
}
