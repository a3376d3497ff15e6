//! One bench for each stage of a backup, on bytes made from a seed: cut, sample, name, code, decode, seal,
//! open, pack.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use snap::base::RepositoryId;
use snap::base::clock::SeededEntropy;
use snap::base::{BufferPool, PooledBuffer};
use snap::chunker::features::Sampler;
use snap::chunker::{Chunker, Parameters};
use snap::codec::{self, Base, BaseUse, Coding, Hint, PartCoder};
use snap::container::{Element, QuantKind};
use snap::crypto::{KeyRing, MasterKey};
use snap::format::pack::{Content, DirectoryChunk};
use snap::pack::{PackWriter, open_block, seal_block, verify_chunks};

const BLOCK_BYTES: usize = 1 << 20;

fn keys() -> KeyRing {
    let master = MasterKey::from_bytes([1; 32]);
    KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)))
}

fn noise(length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    blake3::Hasher::new().update(b"bench").finalize_xof().fill(&mut data);
    data
}

/// Numbers near zero as bf16: eight random bytes a weight give a bell curve, two more its fine steps, without
/// which mantissas would repeat as those of trained weights do not.
fn weights(length: usize) -> Vec<u8> {
    let weight = |bytes: &[u8; 10]| {
        let (curve, fine) = bytes.split_at(8);
        let sum: f32 = curve.iter().map(|byte| f32::from(*byte) - 127.5).sum();
        let step = f32::from(u16::from_le_bytes([fine[0], fine[1]])) / 65_536.0;
        let bits = ((sum + step) / 20_000.0).to_bits().to_le_bytes();
        [bits[2], bits[3]]
    };
    noise(length * 5).as_chunks().0.iter().flat_map(weight).collect()
}

/// Lines of a dump: words in random order with numbers between.
fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "select", "account", "message", "user", "balance", "insert", "value", "the", "of", "index", "time",
        "null", "true", "session", "token", "model",
    ];
    let mut out = Vec::with_capacity(length + 32);
    for (line, pick) in noise(length / 2).chunks(5).enumerate() {
        out.extend_from_slice(line.to_string().as_bytes());
        for word in pick {
            out.push(b'\t');
            out.extend_from_slice(WORDS[usize::from(*word) % 16].as_bytes());
        }
        out.push(b'\n');
        if out.len() >= length {
            break;
        }
    }
    out.truncate(length);
    out
}

fn cut_and_name(c: &mut Criterion) {
    let keys = keys();
    let data = noise(64 << 20);
    let mut group = c.benchmark_group("cut");
    group.throughput(Throughput::Bytes(u64::try_from(data.len()).unwrap()));
    for (name, sizes) in [("dump", (4_096, 16_384, 65_536)), ("tensors", (32_768, 131_072, 524_288))] {
        let (min_bytes, average_bytes, max_bytes) = sizes;
        let parameters = Parameters { min_bytes, average_bytes, max_bytes, normalization: 1 };
        let chunker = Chunker::new(parameters, keys.gear()).unwrap();
        group.bench_function(name, |b| b.iter(|| black_box(chunker.cut_all(&data))));
    }
    group.finish();
    let rows = text(16 << 20);
    let sampler = Sampler::new(keys.gear()).unwrap();
    let mut group = c.benchmark_group("sample");
    for length in [16 << 10, 64 << 10] {
        group.throughput(Throughput::Bytes(u64::try_from(rows.len()).unwrap()));
        group.bench_function(format!("{} KiB", length >> 10), |b| {
            b.iter(|| rows.chunks(length).map(|chunk| sampler.samples(chunk).len()).sum::<usize>());
        });
    }
    group.finish();
    let mut group = c.benchmark_group("name");
    for length in [16 << 10, 128 << 10] {
        group.throughput(Throughput::Bytes(u64::try_from(length).unwrap()));
        group.bench_function(format!("{} KiB", length >> 10), |b| {
            b.iter(|| black_box(keys.data_id(&data[..length])));
        });
    }
    group.finish();
}

fn code(c: &mut Criterion) {
    let planes = Coding::Planes { width: 2, rotate: 1, lead: 0, coder: PartCoder::Literals };
    let zstd = Coding::Whole(PartCoder::Zstd { level: 3 });
    let cases = [
        ("bf16 planes", weights(BLOCK_BYTES), planes),
        ("bf16 zstd", weights(BLOCK_BYTES), zstd),
        ("text zstd", text(BLOCK_BYTES), zstd),
        ("noise zstd", noise(BLOCK_BYTES), zstd),
    ];
    for (name, raw, coding) in cases {
        let coded = codec::encode(&raw, coding, Base::NONE).unwrap();
        println!("{name}: stored {:.4} of the plaintext", coded.len() as f64 / raw.len() as f64);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(u64::try_from(raw.len()).unwrap()));
        group.bench_function("encode", |b| {
            b.iter(|| black_box(codec::encode(&raw, coding, Base::NONE).unwrap()));
        });
        group.bench_function("decode", |b| {
            b.iter(|| black_box(codec::decode(&coded, raw.len(), &[]).unwrap()));
        });
        group.bench_function("choose", |b| b.iter(|| black_box(codec::choose(&raw, Hint::Unknown))));
        group.finish();
    }
}

/// Returns records of Q8_0 of bf16 weights: a scale as f16, and 32 quants.
fn quantized(weights: &[u8]) -> Vec<u8> {
    let widened = |bytes: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
    let record = |run: &[u8]| {
        let values: Vec<f32> = run.chunks_exact(2).map(widened).collect();
        let scale = values.iter().fold(0_f32, |greatest, value| greatest.max(value.abs())) / 127.0;
        // Scales are in the range where an f16 is an f32 with fewer bits and another bias.
        let half = ((scale.to_bits() >> 13) - (112 << 10)) as u16;
        let quants = values.iter().map(|value| ((value / scale).round() as i8).cast_unsigned());
        half.to_le_bytes().into_iter().chain(quants).collect::<Vec<u8>>()
    };
    weights.chunks_exact(64).flat_map(record).collect()
}

/// Transforms and bases, as `choose` and `choose_xor` pick them; "encode and check" is what a writer pays.
fn transforms(c: &mut Criterion) {
    let narrow = weights(BLOCK_BYTES);
    let wide: Vec<u8> = narrow.chunks(2).zip(noise(BLOCK_BYTES).chunks(2)).take(BLOCK_BYTES / 4).fold(
        Vec::with_capacity(BLOCK_BYTES),
        |mut all, (high, low)| {
            all.extend_from_slice(low);
            all.extend_from_slice(high);
            all
        },
    );
    let changed = |one_in: usize| {
        let mut next = narrow.clone();
        next.chunks_mut(2).step_by(one_in).for_each(|element| element[0] ^= 0x15);
        next
    };
    let quants = quantized(&weights(BLOCK_BYTES / 34 * 64));
    let elements = Hint::Elements;
    let cases = [
        ("bf16", &narrow, None, elements(Element::Bf16)),
        ("fp32", &wide, None, elements(Element::F32)),
        ("bf16 xor", &changed(2), Some(&narrow), elements(Element::Bf16)),
        ("bf16 sparse xor", &changed(100), Some(&narrow), elements(Element::Bf16)),
        ("Q8_0", &quants, None, elements(Element::Quant(QuantKind::Q8_0))),
    ];
    for (name, raw, before, hint) in cases {
        let of_base = before.and_then(|bytes| Some((bytes, codec::choose_xor(raw, bytes, 0, hint)?)));
        let (coding, base) = match of_base {
            Some((bytes, coding)) => (coding, Base { use_: BaseUse::Xor, bytes, skip: 0 }),
            None => (codec::choose(raw, hint), Base::NONE),
        };
        let coded = codec::encode(raw, coding, base).unwrap();
        println!("{name}: {coding:?}, stored {:.4} of the plaintext", coded.len() as f64 / raw.len() as f64);
        let mut group = c.benchmark_group(format!("transform {name}"));
        group.throughput(Throughput::Bytes(u64::try_from(raw.len()).unwrap()));
        group.bench_function("encode", |b| b.iter(|| black_box(codec::encode(raw, coding, base).unwrap())));
        group.bench_function("encode and check", |b| {
            b.iter(|| {
                let coded = codec::encode(raw, coding, base).unwrap();
                assert!(codec::decode(&coded, raw.len(), base.bytes).unwrap() == *raw);
            });
        });
        group.bench_function("decode", |b| {
            b.iter(|| black_box(codec::decode(&coded, raw.len(), base.bytes).unwrap()));
        });
        group.bench_function("choose", |b| b.iter(|| black_box(codec::choose(raw, hint))));
        group.finish();
    }
}

fn seal(c: &mut Criterion) {
    let keys = keys();
    let raw = noise(BLOCK_BYTES);
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(u64::try_from(raw.len()).unwrap()));
    group.bench_function("seal", |b| b.iter(|| black_box(keys.seal(b"aad", &raw))));
    let sealed = keys.seal(b"aad", &raw);
    group.bench_function("open", |b| b.iter(|| black_box(keys.open(b"aad", &sealed).unwrap())));
    group.finish();
}

fn blocks_and_packs(c: &mut Criterion) {
    let keys = keys();
    let raw = weights(BLOCK_BYTES);
    let chunks: Vec<DirectoryChunk> = raw
        .chunks(128 << 10)
        .map(|data| DirectoryChunk {
            id: keys.data_id(data),
            length_bytes: u32::try_from(data.len()).unwrap(),
        })
        .collect();
    let rooms = BufferPool::new(BLOCK_BYTES * 2);
    let block = seal_block(&rooms, &keys, Content::Data, &raw, chunks.clone(), Hint::Unknown).unwrap();
    let mut group = c.benchmark_group("block");
    group.throughput(Throughput::Bytes(u64::try_from(raw.len()).unwrap()));
    group.bench_function("code, seal and check", |b| {
        b.iter(|| seal_block(&rooms, &keys, Content::Data, &raw, chunks.clone(), Hint::Unknown).unwrap());
    });
    group.bench_function("open, decode and check", |b| {
        b.iter(|| {
            let raw = open_block(&rooms, &keys, &block.stored, raw.len(), &[]).unwrap();
            verify_chunks(&keys, Content::Data, &block.entry, &raw).unwrap();
        });
    });
    group.bench_function("pack and name", |b| {
        b.iter(|| {
            let mut pack = PackWriter::new(Content::Data, PooledBuffer::default());
            pack.push(block.clone());
            black_box(pack.finish(&keys).unwrap())
        });
    });
    group.finish();
}

criterion_group!(benches, cut_and_name, code, transforms, seal, blocks_and_packs);
criterion_main!(benches);
