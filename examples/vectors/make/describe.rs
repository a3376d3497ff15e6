//! Decoded values as JSON, in the words of the vectors.

use serde_json::{Value, json};
use snap::base::Time;
use snap::base::id::hex;
use snap::format::config::{Config, Feature, LeaseMode};
use snap::format::index::IndexPack;
use snap::format::lease::Lease;
use snap::format::list::ListChunk;
use snap::format::node::{FileContent, Node, NodeKind};
use snap::format::pack::Directory;
use snap::format::plan::Plan;
use snap::format::snapshot::{Snapshot, SourceKind};
use snap::format::tree::TreeChunk;

/// `[seconds, nanoseconds]`
pub(crate) fn time(time: Time) -> Value {
    json!([time.seconds, time.nanoseconds])
}

/// The blocks of a directory.
pub(crate) fn directory(directory: &Directory) -> Value {
    let mut offset = 16;
    let mut blocks = Vec::new();
    for block in &directory.blocks {
        let bases: Vec<String> = block.bases.iter().map(|base| hex(&base.0)).collect();
        let chunks: Vec<Value> =
            block.chunks.iter().map(|chunk| json!([hex(&chunk.id.0), chunk.length_bytes])).collect();
        blocks.push(json!({
            "offset": offset,
            "stored": block.stored_bytes,
            "depth": block.depth,
            "bases": bases,
            "chunks": chunks,
        }));
        offset += u64::from(block.stored_bytes);
    }
    json!(blocks)
}

/// The packs of an index object.
pub(crate) fn index(packs: &[IndexPack]) -> Value {
    let pack = |pack: &IndexPack| {
        json!([
            hex(&pack.id.0),
            pack.size_bytes,
            pack.directory_bytes,
            pack.content.number(),
            pack.directory.as_ref().map(directory),
        ])
    };
    packs.iter().map(pack).collect()
}

/// The entries of a list chunk.
pub(crate) fn list(chunk: &ListChunk) -> Value {
    chunk.entries.iter().map(|entry| json!([hex(&entry.id.0), entry.content_bytes])).collect()
}

/// `(level, entries)` of a tree chunk.
pub(crate) fn tree(chunk: &TreeChunk) -> (u8, Value) {
    match chunk {
        TreeChunk::Leaf(nodes) => (0, nodes.iter().map(node).collect()),
        TreeChunk::Inner { level, children } => (*level, children.iter().map(|id| hex(&id.0)).collect()),
    }
}

/// A node.
pub(crate) fn node(node: &Node) -> Value {
    const TYPES: [&str; 7] = ["file", "directory", "symlink", "fifo", "chardev", "blockdev", "socket"];
    let xattrs: Vec<Value> = node.xattrs.iter().map(|(name, value)| json!([hex(name), hex(value)])).collect();
    let mut value = json!({
        "name": hex(&node.name),
        "type": TYPES[usize::from(node.kind.number())],
        "changed": node.changed,
        "sparse": node.sparse,
        "mode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
        "user": node.user,
        "group": node.group,
        "mtime": time(node.mtime),
        "ctime": time(node.ctime),
        "inode": node.inode,
        "link_device": node.link_device,
        "xattrs": xattrs,
    });
    match &node.kind {
        NodeKind::File { size_bytes, class, content } => {
            value["size"] = json!(size_bytes);
            value["class"] = json!(class);
            match content {
                FileContent::Inline(chunks) => {
                    value["chunks"] =
                        chunks.iter().map(|chunk| json!([hex(&chunk.id.0), chunk.length_bytes])).collect();
                }
                FileContent::List { root, level, chunk_count } => {
                    value["list"] = json!(hex(&root.0));
                    value["list_level"] = json!(level);
                    value["chunk_count"] = json!(chunk_count);
                }
            }
        }
        NodeKind::Directory { tree } => value["tree"] = json!(hex(&tree.0)),
        NodeKind::Symlink { target } => value["target"] = json!(hex(target)),
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            value["device"] = json!([major, minor]);
        }
        NodeKind::Fifo | NodeKind::Socket => {}
    }
    value
}

/// A config, but the repository id.
pub(crate) fn config(config: &Config) -> Value {
    let features = |features: &[Feature]| -> Value {
        let feature = |f: &Feature| json!([f.name, f.message, f.minimum_version]);
        features.iter().map(feature).collect()
    };
    let mut chunkers = json!({});
    for set in &config.chunker_sets {
        chunkers[set.class.to_string()] =
            json!([set.normalization, set.min_bytes, set.average_bytes, set.max_bytes]);
    }
    json!({
        "created": time(config.created),
        "lease_mode": match config.lease_mode { LeaseMode::Conditional => 1, LeaseMode::Listing => 2 },
        "pack_size": config.pack_target_bytes,
        "chunkers": chunkers,
        "incompat": features(&config.incompat),
        "ro_compat": features(&config.ro_compat),
        "compat": features(&config.compat),
    })
}

/// A snapshot, but the repository id.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Value {
    let source = |source: &snap::format::snapshot::Source| {
        json!({
            "kind": match source.kind {
                SourceKind::Path => "path",
                SourceKind::Stdin => "stdin",
                SourceKind::Command => "command",
            },
            "name": hex(&source.name),
            "class": source.class,
            "command": source.command.iter().map(|word| hex(word)).collect::<Vec<_>>(),
            "exit_status": source.exit_status,
            "size": source.size_bytes,
            "digest": source.digest.map(|digest| hex(&digest)),
        })
    };
    let totals = &snapshot.totals;
    json!({
        "version": 1,
        "time": time(snapshot.time),
        "began": time(snapshot.began),
        "ended": time(snapshot.ended),
        "host": snapshot.host,
        "user": snapshot.user,
        "job": snapshot.job,
        "program": snapshot.program,
        "tags": snapshot.tags,
        "metadata": snapshot.metadata,
        "paths": snapshot.paths.iter().map(|path| hex(path)).collect::<Vec<_>>(),
        "sources": snapshot.sources.iter().map(source).collect::<Vec<_>>(),
        "root": hex(&snapshot.root.0),
        "parent": snapshot.parent.map(|id| hex(&id.0)),
        "original": snapshot.original.map(|id| hex(&id.0)),
        "totals": {
            "files": totals.files,
            "directories": totals.directories,
            "others": totals.others,
            "unchanged_files": totals.unchanged_files,
            "unread_sources": totals.unread_sources,
            "read_bytes": totals.read_bytes,
            "new_chunk_bytes": totals.new_chunk_bytes,
            "stored_bytes": totals.stored_bytes,
            "content_bytes": totals.content_bytes,
        },
        "features": snapshot.features,
        "seen": hex(&snapshot.seen),
    })
}

/// A prune plan.
pub(crate) fn plan(plan: &Plan) -> Value {
    let packs: Vec<Value> = plan.packs.iter().map(|pack| json!([hex(&pack.id.0), pack.size_bytes])).collect();
    json!({
        "created": time(plan.created),
        "grace_seconds": plan.grace_seconds,
        "host": plan.host,
        "packs": packs,
    })
}

/// A lease.
pub(crate) fn lease(lease: &Lease) -> Value {
    json!({
        "owner": hex(&lease.owner),
        "host": lease.host,
        "pid": lease.pid,
        "command": lease.command,
        "started": time(lease.started),
        "ttl_seconds": lease.ttl_seconds,
        "sequence": lease.sequence,
    })
}
