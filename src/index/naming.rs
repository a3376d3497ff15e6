//! Which index objects name which packs.

use std::collections::BTreeSet;

use super::database::IndexDatabase;
use super::error::IndexError;
use super::packs::pack_number;
use crate::base::{IndexId, PackId};

impl IndexDatabase {
    /// Returns the index objects that name at least one of `packs`.
    pub fn indexes_naming(&self, packs: &BTreeSet<PackId>) -> Result<BTreeSet<IndexId>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT id FROM index_packs JOIN indexes USING (number) WHERE index_packs.pack = ?1",
            )?;
            let mut ids = BTreeSet::new();
            for pack in packs {
                let Some(number) = pack_number(transaction, pack)? else { continue };
                for id in statement.query_map([number], |row| Ok(IndexId(row.get(0)?)))? {
                    ids.insert(id?);
                }
            }
            Ok(ids)
        })
    }

    /// Returns the packs that more than one index object names.
    pub fn packs_named_twice(&self) -> Result<BTreeSet<PackId>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT id FROM packs WHERE pack IN
                 (SELECT pack FROM index_packs GROUP BY pack HAVING count(*) > 1)",
            )?;
            let ids = statement.query_map([], |row| Ok(PackId(row.get(0)?)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }
}
