//! The index database at size: build, open, look up, add and drop packs.
//!
//! `SNAP_BENCH_CHUNKS=10000000 cargo bench --bench index`; `SNAP_BENCH_PAGE_BYTES` sets another page size.
//! The index is the same in every run (seeded). Half of the blocks have a base and 16 chunks, half have none
//! and 64.

use std::error::Error;
use std::time::Instant;

use snap::base::{ChunkId, IndexId, PackId, RepositoryId};
use snap::format::pack::{BaseName, Content, Directory, DirectoryBlock, DirectoryChunk};
use snap::index::{IndexDatabase, IndexSettings, PackRecord};

const SEED: u64 = 20_250_101;
const CHUNKS_PER_PACK: u64 = 4_096;
const PACKS_PER_INDEX: u64 = 32;
const LOOKUP_COUNT: u64 = 1_000_000;
const LOOKUP_BATCH: u64 = 8_192;
const OWN_PACK_COUNT: u64 = 256;

fn ids(pack: u64) -> Vec<ChunkId> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&SEED.to_le_bytes()).update(&pack.to_le_bytes());
    let mut reader = hasher.finalize_xof();
    let count = usize::try_from(CHUNKS_PER_PACK).unwrap_or(0);
    (0..count)
        .map(|_| {
            let mut id = ChunkId([0; 32]);
            reader.fill(&mut id.0);
            id
        })
        .collect()
}

fn pack(number: u64) -> PackRecord {
    let ids = ids(number);
    let mut blocks = Vec::new();
    let (plain, based) = ids.split_at(ids.len() / 2);
    for (part, size, base_count) in [(plain, 64, 0), (based, 16, 20)] {
        for chunks in part.chunks(size) {
            blocks.push(DirectoryBlock {
                stored_bytes: 200_000,
                depth: u8::from(base_count > 0),
                bases: plain.iter().take(base_count).map(BaseName::of).collect(),
                chunks: chunks.iter().map(|id| DirectoryChunk { id: *id, length_bytes: 16_384 }).collect(),
            });
        }
    }
    PackRecord {
        id: PackId(*blake3::hash(&number.to_le_bytes()).as_bytes()),
        size_bytes: 64 << 20,
        directory_bytes: 150_000,
        content: Content::Data,
        directory: Directory { blocks },
    }
}

fn index(number: u64) -> (IndexId, Vec<PackRecord>) {
    let id = IndexId(*blake3::hash(format!("index {number}").as_bytes()).as_bytes());
    (id, (number * PACKS_PER_INDEX..(number + 1) * PACKS_PER_INDEX).map(pack).collect())
}

fn memory_line(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with(name)).unwrap_or("unknown").to_string()
}

#[expect(clippy::cast_precision_loss, reason = "rates are for people")]
fn report(what: &str, count: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what:<34} {count:>10} in {seconds:>8.3} s  {:>12.0}/s", count as f64 / seconds);
}

/// Spreads numbers below `end` all over, the same in every run.
fn scatter(number: u64, end: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % end
}

fn lookups(database: &IndexDatabase, pack_count: u64) -> Result<(), Box<dyn Error>> {
    let sources: Vec<Vec<ChunkId>> = (0..256).map(|number| ids(scatter(number, pack_count))).collect();
    let some = |number: u64| {
        let source = &sources[(scatter(number, 256)) as usize];
        source[scatter(number ^ 0x5555, CHUNKS_PER_PACK) as usize]
    };
    let strangers = |number: u64| ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes());
    for round in ["first", "again"] {
        for (what, is_hit) in [("misses, random", false), ("hits, random", true)] {
            let mut held = 0;
            let mut seconds = 0.0;
            for batch in 0..LOOKUP_COUNT / LOOKUP_BATCH {
                let numbers = batch * LOOKUP_BATCH..(batch + 1) * LOOKUP_BATCH;
                let wanted: Vec<ChunkId> =
                    if is_hit { numbers.map(some).collect() } else { numbers.map(strangers).collect() };
                let began = Instant::now();
                held += database.contains(&wanted)?.iter().filter(|held| **held).count();
                seconds += began.elapsed().as_secs_f64();
            }
            println!("contains, {what}, {round:<8} {:>12.0}/s, {held} held", LOOKUP_COUNT as f64 / seconds);
        }
        let began = Instant::now();
        for source in &sources {
            assert!(database.contains(source)?.iter().all(|held| *held));
        }
        report(&format!("contains, pack by pack, {round}"), 256 * CHUNKS_PER_PACK, began);
        let began = Instant::now();
        for source in &sources {
            assert!(database.locate(source)?.iter().all(Option::is_some));
        }
        report(&format!("locate, pack by pack, {round}"), 256 * CHUNKS_PER_PACK, began);
    }
    let began = Instant::now();
    for number in 0..20_000 {
        database.contains(&[strangers(number)])?;
    }
    report("contains, one id a call", 20_000, began);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let chunk_count = setting("SNAP_BENCH_CHUNKS").unwrap_or(1_000_000);
    let index_count = chunk_count.div_ceil(CHUNKS_PER_PACK * PACKS_PER_INDEX);
    let pack_count = index_count * PACKS_PER_INDEX;
    let mut settings = IndexSettings::default();
    if let Some(page) = setting("SNAP_BENCH_PAGE_BYTES") {
        settings.page_size_bytes = u32::try_from(page)?;
    }
    let repository = RepositoryId([1; 16]);
    let folder = tempfile::tempdir()?;
    let database = IndexDatabase::open_with(folder.path(), repository, settings.clone())?;
    println!("page size {} bytes, cache {} bytes", settings.page_size_bytes, settings.cache_bytes);

    let began = Instant::now();
    let generated: usize = (0..index_count).map(|number| index(number).1.len()).sum();
    report("generate (part of build)", generated as u64 * CHUNKS_PER_PACK, began);
    let began = Instant::now();
    database.apply((0..index_count).map(index), &[])?;
    report("build", pack_count * CHUNKS_PER_PACK, began);
    println!("database {} bytes, {} a chunk", database.size_bytes()?, {
        database.size_bytes()? / (pack_count * CHUNKS_PER_PACK)
    });
    println!("after build: {}", memory_line("VmHWM"));

    let began = Instant::now();
    drop(database);
    report("close", 1, began);
    let began = Instant::now();
    let database = IndexDatabase::open_with(folder.path(), repository, settings)?;
    report("open", 1, began);
    lookups(&database, pack_count)?;

    let own: Vec<PackRecord> = (pack_count..pack_count + OWN_PACK_COUNT).map(pack).collect();
    let mut slowest = 0.0f64;
    let began = Instant::now();
    for pack in &own {
        let began = Instant::now();
        database.add_own_pack(pack)?;
        slowest = slowest.max(began.elapsed().as_secs_f64());
    }
    report("own packs, in chunks", OWN_PACK_COUNT * CHUNKS_PER_PACK, began);
    println!("slowest own pack {slowest:.3} s");
    let began = Instant::now();
    database.apply([], &[index(0).0])?;
    report("drop an index object, in chunks", PACKS_PER_INDEX * CHUNKS_PER_PACK, began);
    let began = Instant::now();
    let totals = database.totals()?;
    report("totals, in packs", totals.packs, began);
    println!("at the end: {}", memory_line("VmHWM"));
    Ok(())
}
