//! What the stages of a backup cost with nothing around them: the bar that `benches/rivals` sets beside
//! `snap`.
//!
//! `bare_line STEP THREADS CODING FILE STORE`
//!
//! - `backup`: pread, FastCDC, keyed ids, planes and Huffman, AES-256-GCM; then, as `snap` does before it
//!   uploads anything, open, decode and hash again; packs of 64 MiB into the folder STORE.
//! - `read`: pread, FastCDC and ids alone: what a file costs whose every byte is known.
//! - `restore`: the packs of STORE into FILE. `check`: the same without writing.
//!
//! Each of THREADS threads takes segments of 64 MiB and cuts them on its own, so there is no deduplication,
//! index, tree or snapshot, and seams between segments are cuts. CODING: `bf16`, `fp32` or `raw`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use snap::base::clock::SystemEntropy;
use snap::base::{ChunkId, RepositoryId};
use snap::chunker::{Chunker, Parameters};
use snap::codec::{self, Base, Coding, PartCoder};
use snap::crypto::{KeyRing, MasterKey};

const SEGMENT_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 4 << 20;
const BLOCK_BYTES: usize = 1 << 20;
const PACK_BYTES: usize = 64 << 20;
const CHUNKS: Parameters =
    Parameters { min_bytes: 32_768, average_bytes: 131_072, max_bytes: 524_288, normalization: 1 };

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where a block is stored and what it holds.
struct Block {
    pack: String,
    pack_offset: u64,
    stored_bytes: usize,
    file_offset: u64,
    chunks: Vec<(usize, ChunkId)>,
}

impl Block {
    fn raw_bytes(&self) -> usize {
        self.chunks.iter().map(|(length, _)| length).sum()
    }

    fn to_line(&self) -> String {
        let chunks: Vec<String> = self.chunks.iter().map(|(length, id)| format!("{length}:{id}")).collect();
        let Self { pack, pack_offset, stored_bytes, file_offset, .. } = self;
        format!("{pack} {pack_offset} {stored_bytes} {file_offset} {}\n", chunks.join(","))
    }

    fn from_line(line: &str) -> Outcome<Self> {
        let mut words = line.split(' ');
        let mut next = || words.next().ok_or("map: a line is short");
        let (pack, pack_offset) = (next()?.to_owned(), next()?.parse()?);
        let (stored_bytes, file_offset) = (next()?.parse()?, next()?.parse()?);
        let mut chunks = Vec::new();
        for text in next()?.split(',') {
            let (length, id) = text.split_once(':').ok_or("map: a chunk has no id")?;
            chunks.push((length.parse()?, id.parse()?));
        }
        Ok(Self { pack, pack_offset, stored_bytes, file_offset, chunks })
    }
}

struct Line {
    keys: KeyRing,
    chunker: Chunker,
    coding: String,
    file: File,
    store: PathBuf,
}

impl Line {
    fn new(coding: &str, file: File, store: &Path) -> Outcome<Self> {
        let master = MasterKey::from_bytes([1; 32]);
        let keys = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SystemEntropy));
        let chunker = Chunker::new(CHUNKS, keys.gear())?;
        Ok(Self { keys, chunker, coding: coding.to_owned(), file, store: store.to_path_buf() })
    }

    /// The coding of a block whose first byte stands at `offset`: elements lie at multiples of their width.
    fn coding(&self, offset: u64) -> Coding {
        let planes = |width: u8| {
            let lead = (u64::from(width) - offset % u64::from(width)) % u64::from(width);
            let lead = u8::try_from(lead).unwrap_or(0);
            Coding::Planes { width, rotate: 1, lead, coder: PartCoder::Literals }
        };
        match self.coding.as_str() {
            "bf16" => planes(2),
            "fp32" => planes(4),
            _ => Coding::Whole(PartCoder::Raw),
        }
    }

    /// Cuts one segment and hands each block, named, to `take`.
    fn cut(
        &self,
        begin: u64,
        end: u64,
        mut take: impl FnMut(u64, &[u8], Vec<(usize, ChunkId)>) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut buffer = vec![0; READ_BYTES + self.chunker.max_bytes()];
        let (mut filled, mut read_offset) = (0, begin);
        while read_offset < end || filled > 0 {
            let left = usize::try_from(end - read_offset)?;
            let wanted = left.min(READ_BYTES.min(buffer.len() - filled));
            self.file.read_exact_at(&mut buffer[filled..filled + wanted], read_offset)?;
            (filled, read_offset) = (filled + wanted, read_offset + wanted as u64);
            let offset = read_offset - filled as u64;
            let at_end = read_offset == end;
            let (mut block_start, mut at, mut chunks) = (0, 0, Vec::new());
            while let Some(length) = self.chunker.next_cut(&buffer[at..filled], at_end) {
                if at + length - block_start > BLOCK_BYTES {
                    take(offset + block_start as u64, &buffer[block_start..at], std::mem::take(&mut chunks))?;
                    block_start = at;
                }
                chunks.push((length, self.keys.data_id(&buffer[at..at + length])));
                at += length;
            }
            if !chunks.is_empty() {
                take(offset + block_start as u64, &buffer[block_start..at], chunks)?;
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
        }
        Ok(())
    }

    /// Opens a stored block and hashes its chunks again.
    fn open(&self, sealed: &[u8], chunks: &[(usize, ChunkId)]) -> Outcome<Vec<u8>> {
        let raw_bytes = chunks.iter().map(|(length, _)| length).sum();
        let coded = self.keys.open(b"bare line", sealed).map_err(|error| error.to_string())?;
        let raw = codec::decode(&coded, raw_bytes, &[])?;
        let mut rest = raw.as_slice();
        for (length, id) in chunks {
            let (chunk, after) = rest.split_at(*length);
            if self.keys.data_id(chunk) != *id {
                return Err("a chunk is not the one that was stored".into());
            }
            rest = after;
        }
        Ok(raw)
    }

    /// Stores segments as long as there are some; returns the blocks.
    fn backup(&self, thread: usize, next: &AtomicUsize, size: u64) -> Outcome<Vec<Block>> {
        let (mut blocks, mut pack, mut packs) = (Vec::new(), Vec::with_capacity(PACK_BYTES), 0);
        while let Some((begin, end)) = segment(next, size) {
            self.cut(begin, end, |file_offset, raw, chunks| {
                let coded = codec::encode(raw, self.coding(file_offset), Base::NONE)?;
                let sealed = self.keys.seal(b"bare line", &coded);
                self.open(&sealed, &chunks)?;
                if pack.len() + sealed.len() > PACK_BYTES {
                    fs::write(self.store.join(format!("{thread}-{packs}")), &pack)?;
                    (packs, _) = (packs + 1, pack.clear());
                }
                let (pack_offset, stored_bytes) = (pack.len() as u64, sealed.len());
                pack.extend_from_slice(&sealed);
                blocks.push(Block {
                    pack: format!("{thread}-{packs}"),
                    pack_offset,
                    stored_bytes,
                    file_offset,
                    chunks,
                });
                Ok(())
            })?;
        }
        fs::write(self.store.join(format!("{thread}-{packs}")), &pack)?;
        Ok(blocks)
    }

    /// Opens blocks as long as there are some, and writes them to the file where that is asked for.
    fn restore(&self, next: &AtomicUsize, blocks: &[Block], write: bool) -> Outcome<()> {
        let mut sealed = Vec::new();
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            sealed.resize(block.stored_bytes, 0);
            File::open(self.store.join(&block.pack))?.read_exact_at(&mut sealed, block.pack_offset)?;
            let raw = self.open(&sealed, &block.chunks)?;
            if write {
                self.file.write_all_at(&raw, block.file_offset)?;
            }
        }
        Ok(())
    }
}

/// The next segment of a file of `size` bytes that no thread has taken.
fn segment(next: &AtomicUsize, size: u64) -> Option<(u64, u64)> {
    let begin = u64::try_from(next.fetch_add(1, Ordering::Relaxed)).ok()? * SEGMENT_BYTES;
    (begin < size).then(|| (begin, size.min(begin + SEGMENT_BYTES)))
}

fn in_threads(threads: usize, work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<()> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [step, threads, coding, file, store] = arguments.as_slice() else {
        return Err("usage: bare_line backup|read|restore|check THREADS bf16|fp32|raw FILE STORE".into());
    };
    let (threads, store, next) = (threads.parse()?, Path::new(store), AtomicUsize::new(0));
    match step.as_str() {
        "backup" | "read" => {
            let line = Line::new(coding, File::open(file)?, store)?;
            let size = line.file.metadata()?.len();
            if step == "read" {
                return in_threads(threads, |_| {
                    while let Some((begin, end)) = segment(&next, size) {
                        line.cut(begin, end, |_, _, _| Ok(()))?;
                    }
                    Ok(())
                });
            }
            fs::create_dir_all(store)?;
            let all = Mutex::new(String::new());
            in_threads(threads, |thread| {
                let lines: String = line.backup(thread, &next, size)?.iter().map(Block::to_line).collect();
                all.lock().map_err(|_| "a thread panicked")?.push_str(&lines);
                Ok(())
            })?;
            fs::write(store.join("map"), all.into_inner()?)?;
        }
        "restore" | "check" => {
            let map = fs::read_to_string(store.join("map"))?;
            let mut blocks = map.lines().map(Block::from_line).collect::<Outcome<Vec<_>>>()?;
            blocks.sort_by_key(|block| block.file_offset);
            let write = step == "restore";
            let target = if write { File::create(file)? } else { File::open(store.join("map"))? };
            let line = Line::new(coding, target, store)?;
            in_threads(threads, |_| line.restore(&next, &blocks, write))?;
            let size: u64 = blocks.iter().map(|block| block.raw_bytes() as u64).sum();
            println!("{size} bytes");
        }
        other => return Err(io::Error::other(format!("there is no step {other}")).into()),
    }
    Ok(())
}
