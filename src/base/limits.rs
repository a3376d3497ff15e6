//! Every bound of the format, as `format-spec/01-conventions.md` 1.3 lists them; a test compares the two.

/// Limit: plaintext of one chunk.
pub const CHUNK_SIZE_MAX_BYTES: u64 = 1_048_576;
/// Limit: plaintext of one block without base.
pub const BLOCK_RAW_MAX_BYTES: u64 = 1_048_576;
/// Limit: plaintext of one block with base.
pub const BLOCK_BASED_RAW_MAX_BYTES: u64 = 1_048_576;
/// Limit: all base chunks of one block together.
pub const BASE_MAX_BYTES: u64 = 2_097_152;
/// Limit: base chunks of one block.
pub const BASE_COUNT_MAX: u64 = 1_024;
/// Limit: blocks of bases below one block.
pub const BASE_DEPTH_MAX: u64 = 32;
/// Limit: chunks in one block.
pub const BLOCK_CHUNK_COUNT_MAX: u64 = 65_536;
/// Limit: one block as stored (sealed).
pub const BLOCK_STORED_MAX_BYTES: u64 = 1_049_600;
/// Limit: one pack.
pub const PACK_SIZE_MAX_BYTES: u64 = 134_217_728;
/// Limit: blocks in one pack.
pub const PACK_BLOCK_COUNT_MAX: u64 = 65_536;
/// Limit: directory of one pack, uncompressed.
pub const DIRECTORY_PLAIN_MAX_BYTES: u64 = 67_108_864;
/// Limit: one index object, uncompressed.
pub const INDEX_PLAIN_MAX_BYTES: u64 = 67_108_864;
/// Limit: packs in one index object.
pub const INDEX_PACK_COUNT_MAX: u64 = 65_536;
/// Limit: one snapshot, uncompressed.
pub const SNAPSHOT_PLAIN_MAX_BYTES: u64 = 1_048_576;
/// Limit: one prune plan, uncompressed.
pub const PLAN_PLAIN_MAX_BYTES: u64 = 67_108_864;
/// Limit: packs in one prune plan.
pub const PLAN_PACK_COUNT_MAX: u64 = 1_048_576;
/// Limit: config, uncompressed.
pub const CONFIG_PLAIN_MAX_BYTES: u64 = 65_536;
/// Limit: one key file.
pub const KEY_FILE_MAX_BYTES: u64 = 4_096;
/// Limit: key files of a repository.
pub const KEY_FILE_COUNT_MAX: u64 = 32;
/// Limit: one lease, uncompressed.
pub const LEASE_MAX_BYTES: u64 = 4_096;
/// Limit: entries in one list chunk, children of one inner tree chunk.
pub const LIST_ENTRY_COUNT_MAX: u64 = 8_192;
/// Limit: height of a chunk list.
pub const LIST_LEVEL_MAX: u64 = 8;
/// Limit: nodes in one leaf of a tree.
pub const TREE_NODE_COUNT_MAX: u64 = 65_536;
/// Limit: height of one directory's hash tree.
pub const TREE_LEVEL_MAX: u64 = 8;
/// Limit: directories below each other.
pub const TREE_DEPTH_MAX: u64 = 1_024;
/// Limit: name of one node.
pub const NAME_MAX_BYTES: u64 = 4_096;
/// Limit: target of a symlink.
pub const LINK_TARGET_MAX_BYTES: u64 = 4_096;
/// Limit: names and values of one node's extended attributes.
pub const XATTR_TOTAL_MAX_BYTES: u64 = 65_536;
/// Limit: chunks that a node holds itself.
pub const INLINE_CHUNK_COUNT_MAX: u64 = 16;
/// Limit: tags of one snapshot, and entries of its metadata.
pub const TAG_COUNT_MAX: u64 = 256;
/// Limit: sources of one snapshot, its paths, and words of one command.
pub const SOURCE_COUNT_MAX: u64 = 4_096;
/// Limit: features named in one place.
pub const FEATURE_COUNT_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Name and value of every limit, from the lines that `name` and `value` are cut out of.
    fn table(lines: &str, cut: impl Fn(&str) -> Option<(String, String)>) -> BTreeMap<String, String> {
        lines.lines().filter_map(cut).collect()
    }

    #[test]
    fn limits_are_those_of_the_specification() {
        let chapter = include_str!("../../format-spec/01-conventions.md");
        let specified = table(chapter, |line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (name, value) = (cells.next()?, cells.next()?);
            name.contains("_MAX").then(|| (name.to_owned(), value.to_owned()))
        });
        let here = table(include_str!("limits.rs"), |line| {
            let (name, value) = line.strip_prefix("pub const ")?.strip_suffix(';')?.split_once(": u64 = ")?;
            Some((name.to_owned(), value.replace('_', "")))
        });
        assert!(here.len() > 30, "{}", here.len());
        assert_eq!(here, specified);
    }
}
