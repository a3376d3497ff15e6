//! What the repository grows by: a day of a dump, a sibling of a checkpoint, the same weights elsewhere.

use std::path::Path;

use super::dumps::changed_parts;
use super::{User, listing, objects};

/// A reproducible stream of random bytes.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_derive_key("snap test of density")
        .update(seed.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// A dump of `count` rows, of which those that `changed` picks have another state.
fn dump(count: usize, changed: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut text =
        b"--\n-- PostgreSQL database dump\n--\n\nCOPY public.item (id, state, name) FROM stdin;\n".to_vec();
    for row in 0..count {
        let name = blake3::hash(&row.to_le_bytes()).to_hex();
        let state = if changed(row) { row * 7919 } else { row };
        text.extend_from_slice(format!("{row}\t{state}\tname {}\n", &name[..24]).as_bytes());
    }
    text.extend_from_slice(b"\\.\n");
    text
}

/// A safetensors file of three bf16 tensors of `count` elements each, with values like those of weights.
fn checkpoint(count: usize, change: impl Fn(usize, u16) -> u16) -> Vec<u8> {
    let bytes = count * 2;
    let tensor = |name: &str, number: usize| {
        let (start, end) = (number * bytes, (number + 1) * bytes);
        format!(r#""{name}":{{"dtype":"BF16","shape":[{count}],"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{},{},{}}}", tensor("a", 0), tensor("b", 1), tensor("c", 2));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    for (at, source) in noise("weights", 3 * count * 8).chunks(8).enumerate() {
        let sum: f32 = source.iter().map(|byte| f32::from(*byte) - 127.5).sum();
        let weight = ((sum / 20_000.0).to_bits() >> 16) as u16;
        file.extend_from_slice(&change(at, weight).to_le_bytes());
    }
    file
}

/// Returns what the repository grows by while `src` is backed up.
fn growth(user: &User) -> u64 {
    let size = || listing(&user.repository()).iter().map(|(_, _, bytes)| *bytes).sum::<u64>();
    let before = size();
    user.ok(&["backup", "--quiet", "src"]);
    size() - before
}

fn restored_equals(user: &User, snapshot: &str, expected: &Path) {
    let target = user.path("out");
    let _ = std::fs::remove_dir_all(&target);
    user.ok(&["restore", "--quiet", snapshot, "--target", "out"]);
    let below = user.path("src");
    let restored = target.join(below.strip_prefix("/").unwrap());
    let mut names: Vec<_> =
        std::fs::read_dir(expected).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let (old, new) = (std::fs::read(expected.join(&name)), std::fs::read(restored.join(&name)));
        assert!(old.unwrap() == new.unwrap(), "{snapshot}: {name:?}");
    }
}

#[test]
fn every_kind_of_file_restores_to_itself_in_every_version() {
    let user = User::with_repository();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for folder in ["containers", "dumps"] {
        for entry in std::fs::read_dir(fixtures.join(folder)).unwrap() {
            let entry = entry.unwrap();
            files.push((entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
        }
    }
    files.push(("table.sql".to_owned(), dump(40_000, |_| false)));
    files.push(("weights.safetensors".to_owned(), checkpoint(300_000, |_, weight| weight)));
    files.push(("noise.gz".to_owned(), [b"\x1f\x8b\x08\0".to_vec(), noise("gzip", 1 << 20)].concat()));
    for version in 0..3_usize {
        for (name, content) in &mut files {
            // Each version changes bytes here and there, also in headers, and moves what follows.
            if version > 0 && !content.is_empty() {
                let step = 1_000 + 37 * version;
                content.iter_mut().skip(version).step_by(step).for_each(|byte| *byte ^= 0x15);
                let middle = content.len() / 2;
                content.splice(middle..middle, noise(name, 64 * version));
            }
            user.write(&format!("src/{name}"), &*content);
            user.write(&format!("kept-{version}/{name}"), &*content);
        }
        let run = user.run(&["backup", "--quiet", "src"]);
        assert_eq!(run.code, 0, "{run:?}");
    }
    for (snapshot, version) in [("latest~2", 0), ("latest~1", 1), ("latest", 2)] {
        restored_equals(&user, snapshot, &user.path(&format!("kept-{version}")));
    }
    let check = user.run(&["check", "--read-data"]);
    assert_eq!(check.code, 0, "{check:?}");
}

#[test]
fn a_day_of_a_dump_costs_the_day_under_the_same_name_and_under_a_dated_one() {
    for names in [["src/shop.sql"; 2], ["src/shop-2026-01-30.sql", "src/shop-2026-01-31.sql"]] {
        let user = User::with_repository();
        user.write(names[0], dump(60_000, |_| false));
        let first = growth(&user);
        std::fs::remove_file(user.path(names[0])).unwrap();
        let next = dump(60_000, |row| row % 97 == 5);
        user.write(names[1], &next);
        let day = growth(&user);
        assert!(day * 12 < first, "{names:?}: {day} after {first} bytes");
        let run = user.command(&["dump", "latest", user.path(names[1]).to_str().unwrap()]).output().unwrap();
        assert!(run.stdout == next);
    }
}

#[test]
fn a_sibling_of_a_checkpoint_costs_its_changes_wherever_it_stands() {
    for names in [["src/m.safetensors"; 2], ["src/step-100/m.safetensors", "src/step-200/m.safetensors"]] {
        let user = User::with_repository();
        user.write(names[0], checkpoint(500_000, |_, weight| weight));
        let first = growth(&user);
        std::fs::remove_file(user.path(names[0])).unwrap();
        // One element in a hundred or so, at places that do not repeat.
        let next = checkpoint(500_000, |at, weight| {
            weight ^ u16::from(blake3::hash(&at.to_le_bytes()).as_bytes()[0] < 3)
        });
        user.write(names[1], &next);
        let sibling = growth(&user);
        let raw = next.len() as u64;
        assert!(first * 100 < raw * 75, "{first} of {raw} bytes");
        assert!(sibling * 100 < raw * 2, "{names:?}: {sibling} of {raw} bytes");
        let run = user.command(&["dump", "latest", user.path(names[1]).to_str().unwrap()]).output().unwrap();
        assert!(run.stdout == next);
    }
}

#[test]
fn a_series_adds_up_to_what_was_stored_and_diff_names_the_tensor_that_changed() {
    let user = User::with_repository();
    let name = "src/m.safetensors";
    let mut grown = Vec::new();
    for version in 0..3 {
        let change = |at: usize| at / 300_000 == 1 && at % 97 < version;
        user.write(name, checkpoint(300_000, |at, weight| weight ^ u16::from(change(at))));
        grown.push(growth(&user));
    }
    assert_eq!(changed_parts(&user), ["b"]);
    let path = user.path(name);
    let told = objects(&user.ok(&["--json", "stats", "--series", path.to_str().unwrap()]));
    let rows: Vec<_> = told.iter().filter(|row| row["snapshot"].is_string()).collect();
    assert_eq!(rows.len(), grown.len());
    for (row, grown) in rows.iter().zip(grown) {
        assert_eq!(row["content_bytes"], path.metadata().unwrap().len());
        let stored = row["stored_bytes"].as_u64().unwrap();
        // Packs, the index and the snapshot have heads of their own.
        assert!(stored <= grown && grown <= stored + 8192, "{stored} of {grown} bytes");
    }
}

#[test]
fn unknown_bytes_cost_what_was_written_anew_and_weights_among_them_what_changed() {
    // Blocks of a disk image, whose bytes repeat too seldom for text and too often for noise; elements of
    // weights that no header tells of.
    let coarse = |seed: &str, length| noise(seed, length).iter().map(|byte| byte & 63).collect::<Vec<u8>>();
    let image = |written: bool| {
        let mut image = coarse("image", 6 << 20);
        let blocks = image.chunks_mut(4096).enumerate().filter(|(at, _)| written && at % 50 == 3);
        blocks.for_each(|(at, block)| block.copy_from_slice(&coarse(&at.to_string(), 4096)));
        image
    };
    let weights = |trained: bool| {
        let is_changed = |at: usize| blake3::hash(&at.to_le_bytes()).as_bytes()[0] < 3;
        checkpoint(1_000_000, |at, weight| weight ^ u16::from(trained && is_changed(at))).split_off(301)
    };
    let cases = [("disk.img", image(false), image(true), 35), ("raw.bin", weights(false), weights(true), 40)];
    for (name, old, new, part) in cases {
        let user = User::with_repository();
        let name = format!("src/{name}");
        user.write(&name, &old);
        growth(&user);
        user.write(&name, &new);
        let grown = growth(&user);
        assert!(grown * part < new.len() as u64, "{name}: {grown} of {} bytes", new.len());
        let run = user.command(&["dump", "latest", user.path(&name).to_str().unwrap()]).output().unwrap();
        assert!(run.stdout == new);
    }
}

/// Rows of 256 bytes of numbers.
fn rows(seed: &str, count: usize) -> Vec<Vec<u8>> {
    let number = |bytes: &[u8]| (f32::from(bytes[0]) + f32::from(bytes[1]) / 256.0 - 128.0) / 300.0;
    let bytes = noise(seed, count * 128);
    bytes.chunks(128).map(|row| row.chunks(2).flat_map(|pair| number(pair).to_le_bytes()).collect()).collect()
}

/// A container of a kind that holds rows of 64 numbers.
fn container(kind: &str, rows: &[Vec<u8>]) -> Vec<u8> {
    let (count, bytes) = (rows.len(), rows.concat());
    let head = match kind {
        "npy" => {
            let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 64), }}");
            [&b"\x93NUMPY\x01\0\x76\0"[..], format!("{head:<117}\n").as_bytes()].concat()
        }
        "safetensors" => {
            let shape = format!(r#""dtype":"F32","shape":[{count},64],"data_offsets":[0,{}]"#, bytes.len());
            let head = format!(r#"{{"embed":{{{shape}}}}}"#);
            [&(head.len() as u64).to_le_bytes()[..], head.as_bytes()].concat()
        }
        "faiss" => {
            let (dimension, count) = (64_u32.to_le_bytes(), (count as u64).to_le_bytes());
            let numbers = (bytes.len() as u64 / 4).to_le_bytes();
            [b"IxF2", &dimension[..], &count, &[0; 16], &[1], &1_u32.to_le_bytes(), &numbers].concat()
        }
        _ => b"front".to_vec(),
    };
    [head, bytes].concat()
}

#[test]
fn rows_that_go_or_come_cost_what_is_new_however_many_they_are() {
    let (first, fresh) = (rows("first", 24_000), rows("fresh", 300));
    let without = |step: usize| first.iter().enumerate().filter(move |(at, _)| at % step != 7);
    let dropped = |step: usize| without(step).map(|(_, row)| row.clone()).collect::<Vec<_>>();
    let mut inserted = first.clone();
    inserted.splice(9000..9000, fresh[..20].iter().cloned());
    // Few rows go; one in hundred, so that no chunk stays; one in twelve; some come; and as many go as come.
    let versions = [
        ("few", dropped(6000), 0),
        ("dense", dropped(100), 0),
        ("denser", dropped(12), 0),
        ("inserted", inserted, 20),
        ("same count", [&dropped(90)[..], &fresh[..267]].concat(), 267),
        // Most of it is stored already, and not in the version before.
        ("as once before", [&dropped(100)[..], &fresh[..50]].concat(), 50),
    ];
    for kind in ["npy", "safetensors", "faiss", "raw.bin"] {
        let user = User::with_repository();
        let name = format!("src/rows.{kind}");
        user.write(&name, container(kind, &first));
        let whole = growth(&user);
        for (change, rows, new) in &versions {
            // Each version follows on the first.
            user.write(&name, container(kind, &first));
            growth(&user);
            let next = container(kind, rows);
            user.write(&name, &next);
            let grown = growth(&user);
            let bound = whole / 60 + 256 * new;
            assert!(grown < bound, "{kind}, {change}: {grown} after {whole} bytes, at most {bound}");
            let path = user.path(&name);
            let run = user.command(&["dump", "latest", path.to_str().unwrap()]).output().unwrap();
            assert!(run.stdout == next, "{kind}, {change}");
        }
        let check = user.run(&["check", "--read-data"]);
        assert_eq!(check.code, 0, "{check:?}");
    }
}

#[test]
fn former_values_are_found_although_parts_repeat_or_rows_came() {
    // Zeros at several places of a tensor that is otherwise trained; and more rows at its end.
    let trained =
        |at: usize, weight: u16| weight ^ u16::from(blake3::hash(&at.to_le_bytes()).as_bytes()[0] < 3);
    let zeros = |at: usize, weight: u16| if at % 300_000 < 290_000 { weight } else { 0 };
    let user = User::with_repository();
    user.write("src/m.safetensors", checkpoint(1_200_000, zeros));
    let first = growth(&user);
    user.write("src/m.safetensors", checkpoint(1_200_000, |at, weight| zeros(at, trained(at, weight))));
    let next = growth(&user);
    assert!(next * 20 < first, "{next} after {first} bytes");

    let user = User::with_repository();
    let (mut vectors, fresh) = (rows("vectors", 12_000), rows("more", 64));
    user.write("src/e.safetensors", container("safetensors", &vectors));
    let first = growth(&user);
    for (at, row) in vectors.iter_mut().enumerate() {
        // One number of every second row or so.
        let place = usize::from(blake3::hash(&at.to_le_bytes()).as_bytes()[0]) & 127;
        row.get_mut(place * 4).into_iter().for_each(|byte| *byte ^= 1);
    }
    vectors.extend(fresh);
    user.write("src/e.safetensors", container("safetensors", &vectors));
    let next = growth(&user);
    assert!(next * 20 < first, "{next} after {first} bytes");
}

/// A GGUF of bf16 tensors.
fn gguf(tensors: &[&[u8]]) -> Vec<u8> {
    const BF16: u32 = 30;
    let mut file =
        [&b"GGUF"[..], &3_u32.to_le_bytes(), &(tensors.len() as u64).to_le_bytes(), &[0; 8]].concat();
    let mut data = Vec::new();
    for (number, tensor) in tensors.iter().enumerate() {
        let name = format!("blk.{number}.weight");
        file.extend([&(name.len() as u64).to_le_bytes(), name.as_bytes(), &1_u32.to_le_bytes()].concat());
        file.extend((tensor.len() as u64 / 2).to_le_bytes());
        file.extend([&BF16.to_le_bytes()[..], &(data.len() as u64).to_le_bytes()].concat());
        data.extend_from_slice(tensor);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data].concat()
}

#[test]
fn many_tensors_that_changed_everywhere_cost_their_changes_though_small_ones_stand_between_them() {
    let change =
        |at: usize, weight: u16| weight ^ u16::from(blake3::hash(&at.to_le_bytes()).as_bytes()[0] & 3);
    let (weights, trained) = (checkpoint(700_000, |_, weight| weight), checkpoint(700_000, change));
    // The last run of new chunks is short once, and long once; both end with a small tensor.
    for pairs in [25, 23] {
        let model = |weights: &[u8]| {
            let pairs = weights[weights.len() - pairs * 168_000..].chunks(168_000);
            let tensors = pairs.flat_map(|pair| <[&[u8]; 2]>::from(pair.split_at(pair.len() - 400)));
            gguf(&tensors.collect::<Vec<&[u8]>>())
        };
        let user = User::with_repository();
        user.write("src/m.gguf", model(&weights));
        let first = growth(&user);
        user.write("src/m.gguf", model(&trained));
        let next = growth(&user);
        assert!(next * 4 < first, "{next} after {first} bytes, {pairs} pairs");
    }
}

#[test]
fn the_same_weights_in_another_container_cost_next_to_nothing() {
    let user = User::with_repository();
    let model = checkpoint(400_000, |_, weight| weight);
    user.write("src/model.safetensors", &model);
    let first = growth(&user);
    let tensor = &model[model.len() - 800_000..];
    let dictionary = "{'descr': '<u2', 'fortran_order': False, 'shape': (400000,), }";
    let mut array = b"\x93NUMPY\x01\0".to_vec();
    array.extend_from_slice(&118_u16.to_le_bytes());
    array.extend_from_slice(format!("{dictionary:<117}\n").as_bytes());
    array.extend_from_slice(tensor);
    user.write("src/c.npy", &array);
    let again = growth(&user);
    assert!(again * 100 < first, "{again} after {first} bytes");
    let run = user.command(&["dump", "latest", user.path("src/c.npy").to_str().unwrap()]).output().unwrap();
    assert!(run.stdout == array);
}
