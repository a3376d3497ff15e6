//! Reads the whole example repository with the decoders alone: no backend, no index database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use snap::base::clock::SeededEntropy;
use snap::base::id::{hex, unhex};
use snap::base::limits;
use snap::base::{BufferPool, ChunkId, PackId, RepositoryId};
use snap::crypto::password::unwrap as unwrap_key;
use snap::crypto::{KeyRing, MasterKey, Secret};
use snap::format::config::Config;
use snap::format::keyfile::KeyFile;
use snap::format::list::ListChunk;
use snap::format::node::{FileContent, Node, NodeKind};
use snap::format::pack::{BaseName, Content};
use snap::format::sealed::{associated_data, unwrap};
use snap::format::sheet::{self, SheetKind};
use snap::format::snapshot::Snapshot;
use snap::format::tree::TreeChunk;
use snap::format::{Kind, frame, index};
use snap::pack::{open_block, parse_pack, verify_chunks};
use zeroize::Zeroizing;

use super::answers::{Refused, require};
use super::make::describe;

type Objects = BTreeMap<String, Vec<u8>>;

/// Plaintext chunks by content and id.
type Chunks = HashMap<(Content, ChunkId), Vec<u8>>;

/// Returns `{snapshot id: listing}`; reads and checks everything.
pub(super) fn read(objects: &Objects, secret: &Value) -> Result<Map<String, Value>, Refused> {
    let (repository, master) = open_keys(objects, secret)?;
    let ring = KeyRing::new(repository, &master, Arc::new(SeededEntropy::new(0)));
    for name in objects.keys().filter(|name| !name.starts_with("config/")) {
        let id = name.rsplit('/').next().unwrap();
        require(blake3::hash(&objects[name]).to_hex().as_str() == id, "hash")?;
    }
    let config = objects.get("config/00000001").ok_or(Refused("missing"))?;
    let config = Config::decode(&body(&ring, Kind::Config, config, limits::CONFIG_PLAIN_MAX_BYTES)?)?;
    require(config.repository == repository, "repository")?;
    let chunks = all_chunks(&ring, objects)?;
    let mut found = Map::new();
    for (name, stored) in objects.iter().filter(|(name, _)| name.starts_with("snapshots/")) {
        let plain = body(&ring, Kind::Snapshot, stored, limits::SNAPSHOT_PLAIN_MAX_BYTES)?;
        let snapshot = Snapshot::decode(&plain)?;
        let mut lines = Vec::new();
        list_folder(&chunks, &snapshot.root, b"", &mut lines)?;
        found.insert(name["snapshots/".len()..].to_owned(), json!(lines));
    }
    Ok(found)
}

fn open_keys(objects: &Objects, secret: &Value) -> Result<(RepositoryId, MasterKey), Refused> {
    let secret = if let Some(text) = secret["text"].as_str() {
        let (kind, bytes) = sheet::decode(text)?;
        if kind == SheetKind::Master {
            let (repository, master) = bytes.split_at(16);
            let master = MasterKey::from_bytes(master.try_into().unwrap());
            return Ok((RepositoryId(repository.try_into().unwrap()), master));
        }
        Secret::Raw(Zeroizing::new(bytes.as_slice().try_into().unwrap()))
    } else {
        Secret::Password(Zeroizing::new(unhex(secret["password"].as_str().unwrap()).unwrap()))
    };
    for (_, stored) in objects.iter().filter(|(name, _)| name.starts_with("keys/")) {
        if let Ok((repository, master, _)) = unwrap_key(&KeyFile::decode(stored)?, &secret) {
            return Ok((repository, master));
        }
    }
    Err(Refused("wrong-key"))
}

fn body(ring: &KeyRing, kind: Kind, stored: &[u8], limit: u64) -> Result<Vec<u8>, Refused> {
    let framed = ring.open(&associated_data(kind, &ring.repository()), unwrap(kind, stored)?)?;
    Ok(frame::decode(&framed, limit, "body")?)
}

/// Opens every block of every pack that an index object names. Bases come from blocks of less depth.
fn all_chunks(ring: &KeyRing, objects: &Objects) -> Result<Chunks, Refused> {
    let mut blocks = Vec::new();
    for (_, stored) in objects.iter().filter(|(name, _)| name.starts_with("index/")) {
        let plain = body(ring, Kind::Index, stored, limits::INDEX_PLAIN_MAX_BYTES)?;
        for pack in index::decode(&plain)? {
            let id = hex(&pack.id.0);
            let stored = objects.get(&format!("packs/{}/{id}", &id[..2])).ok_or(Refused("missing"))?;
            let parsed = parse_pack(ring, &PackId(pack.id.0), stored)?;
            let same = (parsed.content, parsed.directory_bytes) == (pack.content, pack.directory_bytes);
            let copy = pack.directory.is_none_or(|copy| copy == parsed.directory);
            require(same && copy && stored.len() == pack.size_bytes as usize, "mismatch")?;
            let mut at = 16;
            for block in parsed.directory.blocks {
                let end = at + block.stored_bytes as usize;
                blocks.push((block.depth, parsed.content, &stored[at..end], block));
                at = end;
            }
        }
    }
    blocks.sort_by_key(|(depth, ..)| *depth);
    let mut chunks = Chunks::new();
    for (_, content, stored, block) in &blocks {
        let base: Vec<u8> = block.bases.iter().flat_map(|name| by_name(&chunks, *content, name)).collect();
        let raw = open_block(
            &BufferPool::new(0),
            ring,
            stored,
            usize::try_from(block.raw_bytes()).unwrap(),
            &base,
        )?;
        verify_chunks(ring, *content, block, &raw)?;
        let mut rest = raw.as_slice();
        for chunk in &block.chunks {
            let (plain, after) = rest.split_at(chunk.length_bytes as usize);
            chunks.insert((*content, chunk.id), plain.to_vec());
            rest = after;
        }
    }
    Ok(chunks)
}

fn by_name(chunks: &Chunks, content: Content, name: &BaseName) -> Vec<u8> {
    let found = chunks.iter().find(|((of, id), _)| *of == content && BaseName::of(id) == *name);
    found.map(|(_, plain)| plain.clone()).unwrap_or_default()
}

fn list_folder(chunks: &Chunks, tree: &ChunkId, path: &[u8], lines: &mut Vec<Value>) -> Result<(), Refused> {
    let chunk = chunks.get(&(Content::Tree, *tree)).ok_or(Refused("missing"))?;
    let nodes = match TreeChunk::decode(chunk)? {
        TreeChunk::Leaf(nodes) => nodes,
        TreeChunk::Inner { .. } => return Err(Refused("the example has no inner tree chunk")),
    };
    for node in &nodes {
        let here = [path, b"/", &node.name].concat();
        lines.push(line(chunks, &here, node)?);
        if let NodeKind::Directory { tree } = &node.kind {
            list_folder(chunks, tree, &here, lines)?;
        }
    }
    Ok(())
}

fn line(chunks: &Chunks, path: &[u8], node: &Node) -> Result<Value, Refused> {
    let told = describe::node(node);
    let mut line = json!({
        "path": hex(path),
        "type": told["type"],
        "mode": node.mode,
        "mtime": told["mtime"],
        "xattrs": told["xattrs"],
        "link": node.link_device.map(|device| json!([device, node.inode])),
    });
    match &node.kind {
        NodeKind::File { size_bytes, content, .. } => {
            let plain = content_of(chunks, content)?;
            require(plain.len() as u64 == *size_bytes, "mismatch")?;
            line["size"] = json!(size_bytes);
            line["blake3"] = json!(blake3::hash(&plain).to_hex().as_str());
        }
        NodeKind::Symlink { .. } => line["target"] = told["target"].clone(),
        _ => {}
    }
    Ok(line)
}

fn content_of(chunks: &Chunks, content: &FileContent) -> Result<Vec<u8>, Refused> {
    let chunk = |content, id: &ChunkId| chunks.get(&(content, *id)).ok_or(Refused("missing"));
    let mut plain = Vec::new();
    match content {
        FileContent::Inline(entries) => {
            for entry in entries {
                plain.extend_from_slice(chunk(Content::Data, &entry.id)?);
            }
        }
        FileContent::List { root, level, chunk_count } => {
            let (mut stack, mut count) = (vec![(*root, *level)], 0);
            while let Some((id, level)) = stack.pop() {
                let list = ListChunk::decode(chunk(Content::Tree, &id)?)?;
                require(list.level == level, "mismatch")?;
                for entry in &list.entries {
                    if level == 0 {
                        plain.extend_from_slice(chunk(Content::Data, &entry.id)?);
                        count += 1;
                    }
                }
                if level > 0 {
                    stack.extend(list.entries.iter().rev().map(|entry| (entry.id, level - 1)));
                }
            }
            require(count == *chunk_count, "mismatch")?;
        }
    }
    Ok(plain)
}
