//! The fuzz targets on what is worth keeping: the vectors, and all that was ever found (`fuzz/finds`), each
//! as it is, cut and with bits turned. What looks for more is `fuzz/smoke`.

use std::path::{Path, PathBuf};
use std::process::Command;

use snap::base::Entropy;
use snap::base::clock::SeededEntropy;

/// Seed of the changes.
const SEED: u64 = 91;
/// Changed inputs that are made of each one.
const CHANGES: usize = 16;

/// Stands for the crate of the fuzzer, whose macro makes a program of each target.
pub(crate) mod shim {
    macro_rules! fuzz_target {
        (|$data:ident: &[u8]| $body:block) => {
            pub(crate) fn run($data: &[u8]) $body
        };
    }
    pub(crate) use fuzz_target;
}

/// Declares the targets and lists them.
macro_rules! targets {
    ($($name:ident $path:literal)*) => {
        $(
            #[expect(unused_attributes, reason = "`no_main`: the fuzzer makes a program of each")]
            #[path = $path]
            mod $name;
        )*
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::run)),*];
    };
}

targets! {
    block "../../fuzz/fuzz_targets/block.rs"
    coder_rans "../../fuzz/fuzz_targets/coder_rans.rs"
    config "../../fuzz/fuzz_targets/config.rs"
    container "../../fuzz/fuzz_targets/container.rs"
    frame "../../fuzz/fuzz_targets/frame.rs"
    index "../../fuzz/fuzz_targets/index.rs"
    keyfile "../../fuzz/fuzz_targets/keyfile.rs"
    lease "../../fuzz/fuzz_targets/lease.rs"
    list "../../fuzz/fuzz_targets/list.rs"
    pack_directory "../../fuzz/fuzz_targets/pack_directory.rs"
    pack_ends "../../fuzz/fuzz_targets/pack_ends.rs"
    parts "../../fuzz/fuzz_targets/parts.rs"
    patterns "../../fuzz/fuzz_targets/patterns.rs"
    plan "../../fuzz/fuzz_targets/plan.rs"
    recognise "../../fuzz/fuzz_targets/recognise.rs"
    sealed "../../fuzz/fuzz_targets/sealed.rs"
    sheet "../../fuzz/fuzz_targets/sheet.rs"
    snapshot "../../fuzz/fuzz_targets/snapshot.rs"
    transform_delta "../../fuzz/fuzz_targets/transform_delta.rs"
    transform_planes "../../fuzz/fuzz_targets/transform_planes.rs"
    transform_records "../../fuzz/fuzz_targets/transform_records.rs"
    transform_sparse "../../fuzz/fuzz_targets/transform_sparse.rs"
    tree "../../fuzz/fuzz_targets/tree.rs"
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Where each target begins: `<folder>/<target>/<input>`, as the fuzzer gets it.
fn seeds() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("python3").arg(fuzz().join("seed")).arg(folder.path()).output();
    let output = output.unwrap_or_else(|error| panic!("python3: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn below(dice: &SeededEntropy, bound: usize) -> usize {
    let mut bytes = [0; 8];
    dice.fill(&mut bytes);
    (u64::from_le_bytes(bytes) % bound.max(1) as u64) as usize
}

/// An input with some bits turned, bytes gone from it or doubled.
fn changed(input: &[u8], dice: &SeededEntropy) -> Vec<u8> {
    let mut bytes = input.to_vec();
    match below(dice, 4) {
        0 => bytes.truncate(below(dice, input.len())),
        1 => drop(bytes.drain(..below(dice, input.len()))),
        2 => {
            let at = below(dice, input.len());
            bytes.splice(at..at, input[at..].iter().take(9).copied().collect::<Vec<_>>());
        }
        _ => {
            for _ in 0..=below(dice, 3) {
                let at = below(dice, bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << below(dice, 8);
                }
            }
        }
    }
    bytes
}

#[test]
fn every_target_takes_the_vectors_and_all_that_was_found_as_they_are_and_changed() {
    println!("seed {SEED}");
    let (folder, dice) = (seeds(), SeededEntropy::new(SEED));
    let mut count = 0;
    for (name, run) in TARGETS {
        let mut paths: Vec<_> = std::fs::read_dir(folder.path().join(name))
            .unwrap_or_else(|error| panic!("{name} begins nowhere: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            let input = std::fs::read(&path).unwrap();
            run(&input);
            for _ in 0..CHANGES {
                run(&changed(&input, &dice));
            }
            count += 1 + CHANGES;
        }
    }
    println!("{count} inputs for {} targets", TARGETS.len());
    assert!(count > 10_000);
}

#[test]
fn every_target_is_among_those_that_are_run() {
    let files = std::fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let mut files: Vec<String> =
        files.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    files.sort();
    assert_eq!(files, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}
