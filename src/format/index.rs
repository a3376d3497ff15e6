//! Index objects (`format-spec/08-index.md`): which packs exist.

use super::pack::{
    Content, DIRECTORY_STORED_MIN_BYTES, Directory, HEAD_SIZE_BYTES, TRAILER_SIZE_BYTES, require_layout,
};
use super::wire::{FormatError, Reader, Writer, require_ascending};
use crate::base::PackId;
use crate::base::limits::{DIRECTORY_PLAIN_MAX_BYTES, INDEX_PACK_COUNT_MAX, PACK_SIZE_MAX_BYTES};

/// One pack in an index object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPack {
    /// Its id.
    pub id: PackId,
    /// Its stored size.
    pub size_bytes: u32,
    /// Stored length of its directory.
    pub directory_bytes: u32,
    /// What it holds.
    pub content: Content,
    /// A copy of its directory, for large packs.
    pub directory: Option<Directory>,
}

/// Encodes the body of an index object; `packs` must be sorted by id.
pub fn encode(packs: &[IndexPack]) -> Result<Vec<u8>, FormatError> {
    validate(packs)?;
    let mut out = Writer::new();
    out.count32(packs.len(), INDEX_PACK_COUNT_MAX, "packs of an index")?;
    for pack in packs {
        out.raw(&pack.id.0).u32(pack.size_bytes).u32(pack.directory_bytes).u8(pack.content.number());
        match &pack.directory {
            None => out.u8(0),
            Some(directory) => {
                let body = directory.encode()?;
                out.u8(1).count32(body.len(), DIRECTORY_PLAIN_MAX_BYTES, "directory")?.raw(&body)
            }
        };
    }
    Ok(out.finish())
}

/// Decodes the body of an index object.
pub fn decode(bytes: &[u8]) -> Result<Vec<IndexPack>, FormatError> {
    let mut input = Reader::new(bytes, "index");
    let count = input.count32(INDEX_PACK_COUNT_MAX, 42, "packs of an index")?;
    let mut packs = Vec::with_capacity(count);
    for _ in 0..count {
        let id = PackId(input.array("pack id")?);
        let size_bytes = input.u32("pack size")?;
        let directory_bytes = input.u32("directory length")?;
        let content = Content::from_number(input.u8("pack content")?)?;
        let directory = match input.option("directory copy")? {
            false => None,
            true => Some(Directory::decode(input.bytes32(DIRECTORY_PLAIN_MAX_BYTES, "directory")?)?),
        };
        packs.push(IndexPack { id, size_bytes, directory_bytes, content, directory });
    }
    input.finish()?;
    validate(&packs)?;
    Ok(packs)
}

fn validate(packs: &[IndexPack]) -> Result<(), FormatError> {
    if packs.is_empty() {
        return Err(FormatError::invalid("index without packs"));
    }
    let ids: Vec<&PackId> = packs.iter().map(|pack| &pack.id).collect();
    require_ascending(&ids, "order of packs in an index")?;
    for pack in packs {
        let size = u64::from(pack.size_bytes);
        if size > PACK_SIZE_MAX_BYTES {
            return Err(FormatError::Limit { what: "pack size", value: size, limit: PACK_SIZE_MAX_BYTES });
        }
        let around = u64::from(HEAD_SIZE_BYTES) + u64::from(TRAILER_SIZE_BYTES);
        let fits = u64::from(pack.directory_bytes) + around <= size;
        if pack.directory_bytes < DIRECTORY_STORED_MIN_BYTES || !fits {
            return Err(FormatError::invalid("directory length in an index"));
        }
        if let Some(directory) = &pack.directory {
            require_layout(directory, pack.directory_bytes, size)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_and_disorder_is_refused() {
        let pack = |n: u8| IndexPack {
            id: PackId([n; 32]),
            size_bytes: 500,
            directory_bytes: 100,
            content: Content::Data,
            directory: None,
        };
        let bytes = encode(&[pack(1), pack(2)]).unwrap();
        assert_eq!(decode(&bytes).unwrap(), vec![pack(1), pack(2)]);
        assert!(encode(&[pack(2), pack(1)]).is_err());
        assert!(encode(&[pack(1), pack(1)]).is_err());
        assert!(encode(&[]).is_err());
    }
}
