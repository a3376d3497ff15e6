//! Whole backups into a local directory: a checkpoint of 256 MiB, cold, touched and unchanged.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use snap::backend::local::LocalBackend;
use snap::backup::{BackupOptions, Input, ParentChoice, backup};
use snap::base::{Memory, NoProgress, SystemClock, SystemEntropy};
use snap::crypto::Secret;
use snap::repository::{Environment, IndexPlace, InitOptions, Repository};
use snap::source::WalkOptions;

const SIZE_BYTES: usize = 256 << 20;

fn repository(folder: &Path) -> Arc<Repository> {
    let entropy = Arc::new(SystemEntropy);
    let environment = Environment {
        backend: Arc::new(LocalBackend::new(
            folder.join("repository"),
            entropy.clone(),
            Arc::new(SystemClock),
            Memory::default(),
        )),
        clock: Arc::new(SystemClock),
        entropy,
        progress: Arc::new(NoProgress),
        stop: Arc::new(AtomicBool::new(false)),
        host: "bench".into(),
        index: IndexPlace::Folder(folder.join("cache")),
        memory: Memory::default(),
    };
    let secret = Secret::Raw([7; 32].into());
    Arc::new(Repository::init(environment, &InitOptions { secret, label: "bench".into() }).unwrap())
}

fn options(path: &Path, force: bool) -> BackupOptions {
    BackupOptions {
        input: Input::Paths(WalkOptions { paths: vec![path.to_path_buf()], ..WalkOptions::default() }),
        host: "bench".into(),
        user: "bench".into(),
        owner: (0, 0),
        job: String::new(),
        program: "bench".into(),
        tags: Vec::new(),
        metadata: Vec::new(),
        time: None,
        parent: ParentChoice::Newest,
        force,
        class: None,
        dry_run: false,
        skip_if_unchanged: false,
        estimate: false,
    }
}

fn end_to_end(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.bin");
    let mut data = vec![0; SIZE_BYTES];
    blake3::Hasher::new().update(b"end to end").finalize_xof().fill(&mut data);
    // Every second byte takes few values, as exponents do.
    for byte in data.iter_mut().skip(1).step_by(2) {
        *byte = 0x38 | (*byte & 7);
    }
    fs::write(&path, &data).unwrap();
    drop(data);
    let mut group = c.benchmark_group("backup");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Bytes(u64::try_from(SIZE_BYTES).unwrap()));
    group.bench_function("cold", |b| {
        b.iter_batched(
            || {
                let folder = tempfile::tempdir().unwrap();
                (repository(folder.path()), folder)
            },
            |(repository, folder)| {
                backup(&repository, &options(&path, false)).unwrap();
                (repository, folder)
            },
            BatchSize::PerIteration,
        );
    });
    let kept = tempfile::tempdir().unwrap();
    let repository = repository(kept.path());
    backup(&repository, &options(&path, false)).unwrap();
    group.bench_function("every byte read again", |b| {
        b.iter(|| backup(&repository, &options(&path, true)).unwrap());
    });
    group.bench_function("unchanged", |b| b.iter(|| backup(&repository, &options(&path, false)).unwrap()));
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
