//! Chapter 3: keys, XAES-256-GCM, sealed objects and frames.

use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use snap::base::Entropy;
use snap::base::RepositoryId;
use snap::base::clock::SeededEntropy;
use snap::base::id::hex;
use snap::crypto::xaes::XaesKey;
use snap::crypto::{MasterKey, gear_table};
use snap::format::keyfile::{Kdf, KeyBody, KeyFile};
use snap::format::sealed::{associated_data, wrap};
use snap::format::sheet::{self, SheetKind};
use snap::format::{Kind, frame};

use super::blocks::frame as zstd_frame;
use super::data::{Data, xof};
use super::describe::time;
use super::{Cases, MASTER, REPOSITORY, TIME, cut, flipped, longer, ring, seal_frame, with};

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// What chapter 3.5 derives on the way to a key file.
struct Wrapped {
    file: Vec<u8>,
    stretched: [u8; 32],
    kek: [u8; 32],
    commitment: [u8; 32],
}

/// Makes a key file step by step.
pub(crate) fn wrap_key(kdf: Kdf, secret: &[u8], label: &str, entropy: &dyn Entropy) -> Vec<u8> {
    wrap_key_steps(kdf, secret, label, entropy).file
}

fn wrap_key_steps(kdf: Kdf, secret: &[u8], label: &str, entropy: &dyn Entropy) -> Wrapped {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let mut stretched = [0; 32];
    match kdf {
        Kdf::Raw => stretched.copy_from_slice(secret),
        Kdf::Argon2id { memory_kib, passes, lanes } => {
            let params = Params::new(memory_kib, passes, lanes, Some(32)).expect("parameters in bounds");
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(secret, &salt, &mut stretched)
                .expect("a short password");
        }
    }
    let mut both = [0; 64];
    blake3::Hasher::new_derive_key("snap-backup 2026 v1 key file")
        .update(&stretched)
        .update(&salt)
        .finalize_xof()
        .fill(&mut both);
    let (mut kek, mut commitment) = ([0; 32], [0; 32]);
    kek.copy_from_slice(&both[..32]);
    commitment.copy_from_slice(&both[32..]);
    let mut file = KeyFile { kdf, salt, commitment, sealed: Vec::new() };
    let body = KeyBody { repository: REPOSITORY, master: MASTER, created: TIME, label: label.to_owned() };
    let plain = body.encode().expect("a short label");
    file.sealed = XaesKey::new(&kek).seal(entropy, &file.head(), &plain);
    Wrapped { file: file.encode(), stretched, kek, commitment }
}

/// The set `keys`.
pub(crate) fn keys() -> Cases {
    let mut cases = Cases::default();
    for (name, master) in [("subkeys", MASTER), ("subkeys of another key", [0xff; 32])] {
        let key = |context: &str| hex(&blake3::derive_key(context, &master));
        let gear = gear_table(&MasterKey::from_bytes(master));
        let table: Vec<u8> = gear.iter().flat_map(|word| word.to_le_bytes()).collect();
        let shown: Vec<String> = [0, 1, 254, 255].iter().map(|at| format!("{:016x}", gear[*at])).collect();
        let fields = json!({
            "op": "subkeys",
            "master_key": hex(&master),
            "repository_id": hex(&REPOSITORY.0),
            "id_data": key("snap-backup 2026 v1 chunk id data"),
            "id_tree": key("snap-backup 2026 v1 chunk id tree"),
            "seal": key("snap-backup 2026 v1 seal"),
            "gear": shown,
            "gear_blake3": hash(&table),
        });
        cases.good(name, fields);
    }
    chunk_ids(&mut cases);
    key_files(&mut cases);
    sheets(&mut cases);
    cases
}

fn chunk_ids(cases: &mut Cases) {
    let ring = ring(1);
    for length in [1, 1024, 1025, 70_000] {
        let plain = Data::Xof("chunk id".into(), length);
        for (content, id) in [(0, ring.data_id(&plain.bytes())), (1, ring.tree_id(&plain.bytes()))] {
            let name = format!("chunk id, content {content}, {length} bytes");
            let fields =
                json!({ "op": "chunk-id", "content": content, "plain": plain.json(), "id": hex(&id.0) });
            cases.good(&name, fields);
        }
    }
}

fn key_case(file: &[u8], form: &str, secret: &[u8]) -> Value {
    json!({ "op": "key-file", "form": form, "secret": hex(secret), "file": hex(file), "id": hash(file) })
}

fn key_files(cases: &mut Cases) {
    let entropy = SeededEntropy::new(2);
    let small = Kdf::Argon2id { memory_kib: 8_192, passes: 1, lanes: 1 };
    let raw_secret = xof("raw secret", 32);
    let password = "correct horse \u{1f40e}".as_bytes();
    let files = [
        ("least argon2id", small, "password", password),
        ("default argon2id", Kdf::DEFAULT, "password", password),
        ("raw", Kdf::Raw, "raw", raw_secret.as_slice()),
    ];
    let mut made = Vec::new();
    for (name, kdf, form, secret) in files {
        let steps = wrap_key_steps(kdf, secret, "vectors \u{e9}", &entropy);
        let mut fields = key_case(&steps.file, form, secret);
        fields["steps"] = json!({
            "stretched": hex(&steps.stretched),
            "kek": hex(&steps.kek),
            "commitment": hex(&steps.commitment),
        });
        fields["repository_id"] = json!(hex(&REPOSITORY.0));
        fields["master_key"] = json!(hex(&MASTER));
        fields["created"] = time(TIME);
        fields["label"] = json!("vectors \u{e9}");
        cases.good(name, fields);
        made.push(steps.file);
    }
    let (good, raw) = (&made[0], &made[2]);
    let end = good.len() - 1;
    let mut bad = |name: &str, comment: &str, code: &str, file: &[u8]| {
        cases.bad(name, comment, code, key_case(file, "password", password));
    };
    bad("magic", "the first byte differs", "magic", &flipped(good, 0));
    bad("version", "version 2", "version", &with(good, 8, &[2]));
    bad("kdf", "kdf 2", "number", &with(good, 10, &[2]));
    bad("recipient", "recipient 1", "recipient", &with(good, 11, &[1]));
    bad("little memory", "m below 8192", "kdf", &with(good, 12, &8_191_u32.to_le_bytes()));
    bad("much memory", "m above 4194304", "kdf", &with(good, 12, &4_194_305_u32.to_le_bytes()));
    bad("no pass", "t is 0", "kdf", &with(good, 16, &[0]));
    bad("many passes", "t is 65", "kdf", &with(good, 16, &[65]));
    bad("no lane", "p is 0", "kdf", &with(good, 20, &[0]));
    bad("many lanes", "p is 65", "kdf", &with(good, 20, &[65]));
    bad("raw with costs", "kdf 0 with m, t and p", "kdf", &with(good, 10, &[0]));
    bad("commitment", "the commitment belongs to another key", "wrong-key", &flipped(good, 40));
    bad("tag", "the commitment matches and the tag does not", "open", &flipped(good, end));
    bad("label of the head", "a byte of the head that the tag covers", "wrong-key", &flipped(good, 24));
    bad("cut", "no room for a tag", "short", &good[..111]);
    bad("large", "above KEY_FILE_MAX_BYTES", "limit", &[good.as_slice(), &vec![0; 4096]].concat());
    cases.bad(
        "wrong password",
        "the commitment does not match",
        "wrong-key",
        key_case(good, "password", b"no"),
    );
    cases.bad(
        "password for raw",
        "the secret has the other form",
        "wrong-key",
        key_case(raw, "password", b"no"),
    );
    let mut named = key_case(good, "password", password);
    named["id"] = json!(hash(b""));
    cases.bad("name", "the hash is not the name", "hash", named);
    let mut both = key_case(&flipped(good, 0), "password", password);
    both["id"] = json!(hash(good));
    cases.bad("name before magic", "the name is checked first", "hash", both);
}

fn sheets(cases: &mut Cases) {
    let raw = xof("raw secret", 32);
    let master = [REPOSITORY.0.as_slice(), &MASTER].concat();
    for (kind, word, secret) in [(SheetKind::Raw, "raw", &raw), (SheetKind::Master, "master", &master)] {
        let text = sheet::encode(kind, secret).to_string();
        let fields = |text: &str, canonical: bool| {
            let secret = hex(secret);
            json!({ "op": "secret", "text": text, "canonical": canonical, "kind": word, "secret": secret })
        };
        cases.good(&format!("sheet {word}"), fields(&text, true));
        let typed = text.to_uppercase().replace(' ', "\t \u{a0}");
        let typed = format!("\r\n# kept in the safe\n \t# \u{e9}: x\n{typed}\n  # after the end\n \n")
            .replace('\n', "\r\n");
        cases.good(&format!("sheet {word} as typed"), fields(&typed, false));
        let lines: Vec<&str> = text.lines().collect();
        let mut bad = |name: &str, comment: &str, text: String| {
            let name = format!("sheet {word}: {name}");
            cases.bad(&name, comment, "sheet", json!({ "op": "secret", "text": text, "canonical": false }));
        };
        bad("no end", "the last line is missing", lines[..lines.len() - 1].join("\n"));
        bad("no head", "the first line is missing", lines[1..].join("\n"));
        bad("a line is missing", "line 2", [&lines[..2], &lines[3..]].concat().join("\n"));
        bad("lines in another order", "3 before 2", [lines[0], lines[1], lines[3], lines[2]].join("\n"));
        bad("a line after the end", "`end` twice", format!("{text}end\n"));
        bad(
            "a line more",
            "behind the last one",
            format!("{}\n{}\nend\n", text.replace("\nend\n", ""), lines[1]),
        );
        bad("words before a comment", "a `#` inside a line begins none", text.replacen('\n', " # x\n", 1));
        bad("unused bits", "the last bit of the last group is 1", {
            // The letter before the space and the check; the letters of unused bits that are 0 are followed
            // by those of 1.
            let line = lines[lines.len() - 2];
            let place = line.len() - 4;
            let next = char::from(line.as_bytes()[place] + 1);
            text.replace(line, &format!("{}{next}{}", &line[..place], &line[place + 1..]))
        });
        bad("another kind", "the check covers the kind", {
            let other = if word == "raw" { "master" } else { "raw" };
            text.replace(word, other)
        });
        bad("a digit", "line 2 has a letter in place of another", {
            let place = lines[2].char_indices().nth(4).map_or(0, |(at, _)| at);
            let old = lines[2].as_bytes()[place];
            let new = if old == b'a' { "b" } else { "a" };
            let wrong = format!("{}{new}{}", &lines[2][..place], &lines[2][place + 1..]);
            text.replace(lines[2], &wrong)
        });
    }
}

/// The set `xaes`: the two vectors of C2SP and two of sealed sizes.
pub(crate) fn xaes() -> Cases {
    let mut cases = Cases::default();
    let published = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
    let mut own = [0; 24];
    own.copy_from_slice(&xof("xaes nonce", 24));
    let aad = associated_data(Kind::Snapshot, &REPOSITORY);
    let seal_key = blake3::derive_key("snap-backup 2026 v1 seal", &MASTER);
    let first =
        |byte: u8, aad: &'static [u8]| ([byte; 32], published, aad.to_vec(), b"XAES-256-GCM".to_vec());
    let inputs = [
        ("C2SP, first bit of L is 0", first(1, b"")),
        ("C2SP, first bit of L is 1", first(3, b"c2sp.org/XAES-256-GCM")),
        ("the seal key", (seal_key, own, aad.to_vec(), b"a snapshot".to_vec())),
        ("no plaintext", (seal_key, own, aad.to_vec(), vec![])),
    ];
    for (name, (bytes, nonce, aad, plain)) in inputs {
        let key = XaesKey::new(&bytes);
        let steps = key.derive(&nonce);
        let sealed = key.seal(&Fixed(nonce), &aad, &plain);
        let fields = json!({
            "key": hex(&bytes),
            "nonce": hex(&nonce),
            "aad": hex(&aad),
            "plain": hex(&plain),
            "steps": {
                "L": hex(&steps.l),
                "K1": hex(&steps.k1),
                "M1": hex(&steps.m1),
                "M2": hex(&steps.m2),
                "Kx": hex(&steps.kx),
                "Nx": hex(&steps.nx),
            },
            "ciphertext": hex(&sealed[24..]),
        });
        cases.good(name, fields);
    }
    cases
}

/// Gives one nonce.
#[derive(Debug)]
struct Fixed([u8; 24]);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
    }
}

/// The set `sealed`.
pub(crate) fn sealed() -> Cases {
    let mut cases = Cases::default();
    frames(&mut cases);
    let ring = ring(3);
    let plain = b"body of an object ".repeat(20);
    let made = frame::encode(&plain, 1 << 16, "vector").expect("within the limit");
    let good = seal_frame(&ring, Kind::Index, &made);
    let fields =
        |object: &[u8]| json!({ "op": "object", "kind": "index", "object": hex(object), "id": hash(object) });
    let mut accepted = fields(&good);
    accepted["plain"] = json!(hex(&plain));
    cases.good("index", accepted);
    let stored = seal_frame(&ring, Kind::Lease, &[0, 0, 0, 0, 0]);
    let empty = json!({ "op": "object", "kind": "lease", "object": hex(&stored), "plain": "" });
    cases.good("the least object", empty);
    let other = RepositoryId([0xb0; 16]);
    let elsewhere = wrap(Kind::Index, &ring.seal(&associated_data(Kind::Index, &other), &made));
    let disguised = wrap(Kind::Index, &ring.seal(&associated_data(Kind::Plan, &REPOSITORY), &made));
    let end = good.len() - 1;
    let bad: [(&str, &str, &str, Vec<u8>); 14] = [
        ("tag", "the last byte differs", "open", flipped(&good, end)),
        ("ciphertext", "a byte differs", "open", flipped(&good, 40)),
        ("nonce", "a byte differs", "open", flipped(&good, 12)),
        ("another kind's magic", "a plan read as an index", "magic", with(&good, 0, &Kind::Plan.magic())),
        ("another kind's seal", "sealed as a plan, dressed as an index", "open", disguised),
        ("another repository", "sealed for another repository id", "open", elsewhere),
        ("version 0", "version 0", "version", with(&good, 8, &[0])),
        ("version 2", "version 2", "version", with(&good, 8, &[2])),
        ("version 257", "the high byte of the version", "version", with(&good, 9, &[1])),
        ("recipient", "recipient 1", "recipient", with(&good, 10, &[1])),
        ("reserved", "reserved byte 1", "reserved", with(&good, 11, &[1])),
        ("cut by one", "the tag is cut", "open", cut(&good, 1)),
        ("cut to 56 bytes", "below the least object", "short", good[..56].to_vec()),
        ("trailing", "one byte more", "open", longer(&good)),
    ];
    for (name, comment, code, object) in bad {
        cases.bad(name, comment, code, fields(&object));
    }
    let mut renamed = fields(&good);
    renamed["id"] = json!(hash(b""));
    cases.bad("name", "the hash is not the name", "hash", renamed);
    let broken = seal_frame(&ring, Kind::Index, &[2, 0, 0, 0, 0]);
    cases.bad("frame", "opens, and the frame is bad", "number", fields(&broken));
    cases
}

fn frames(cases: &mut Cases) {
    let plain = b"frame ".repeat(50);
    let good = frame::encode(&plain, 1 << 16, "vector").expect("within the limit");
    let fields = |kind: &str, frame: &[u8]| json!({ "op": "frame", "kind": kind, "frame": hex(frame) });
    let accept = |cases: &mut Cases, name: &str, frame: &[u8], plain: &[u8]| {
        let mut fields = fields("config", frame);
        fields["plain"] = json!(hex(plain));
        cases.good(name, fields);
    };
    accept(cases, "frame, zstd", &good, &plain);
    accept(cases, "frame, stored", &[0, 3, 0, 0, 0, 7, 8, 9], &[7, 8, 9]);
    accept(cases, "frame, empty", &[0, 0, 0, 0, 0], b"");
    let head = |coder: u8, length: u32| [[coder].as_slice(), &length.to_le_bytes()].concat();
    let coded = &good[5..];
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let bomb = zstd::bulk::compress(&vec![0; 65_537], 3).expect("zeros compress");
    let grown = zstd::bulk::compress(b"xyz", 3).expect("three bytes");
    // One block of 100 equal bytes behind a head made by hand (RFC 8878, 3.1.1).
    let by_hand = |head_of_zstd: &[u8]| {
        let block = [(100_u8 << 3) | 3, 100 >> 5, 0, b'a'];
        [head(1, 100).as_slice(), &[0x28, 0xb5, 0x2f, 0xfd], head_of_zstd, &block].concat()
    };
    let hundred = vec![b'a'; 100];
    accept(cases, "frame, no content size", &by_hand(&[0x00, 0x00]), &hundred);
    accept(cases, "frame, content size without window", &by_hand(&[0x20, 100]), &hundred);
    accept(cases, "frame, the largest window", &by_hand(&[0x00, 0x60]), &hundred);
    let checked = [head(1, 300), zstd_frame(&plain, b"", true)].concat();
    accept(cases, "frame, a checksum", &checked, &plain);
    let bad: [(&str, &str, &str, Vec<u8>); 19] = [
        ("wrong checksum", "the last byte differs", "zstd", flipped(&checked, checked.len() - 1)),
        ("dictionary id", "dictionary 1", "zstd", by_hand(&[0x21, 1, 100])),
        ("empty dictionary id", "dictionary 0, written", "zstd", by_hand(&[0x21, 0, 100])),
        ("large window", "4 MiB and an eighth", "zstd", by_hand(&[0x00, 0x61])),
        ("another content size", "99 of 100", "zstd", by_hand(&[0x20, 99])),
        ("no content size, length below", "99 of 100", "zstd", with(&by_hand(&[0x00, 0x00]), 1, &[99])),
        ("no content size, length above", "101 of 100", "zstd", with(&by_hand(&[0x00, 0x00]), 1, &[101])),
        ("head cut", "four bytes", "short", vec![0, 0, 0, 0]),
        ("coder", "coder 2", "number", with(&good, 0, &[2])),
        ("limit", "above CONFIG_PLAIN_MAX_BYTES", "limit", [head(1, 65_537), bomb].concat()),
        ("length below", "decodes to one byte more", "zstd", with(&good, 1, &299_u32.to_le_bytes())),
        ("length above", "decodes to one byte less", "zstd", with(&good, 1, &301_u32.to_le_bytes())),
        ("cut", "the zstd frame is cut", "zstd", cut(&good, 1)),
        ("trailing", "a byte after the zstd frame", "zstd", longer(&good)),
        ("second frame", "two zstd frames", "zstd", [good.as_slice(), coded].concat()),
        ("skippable after", "a skippable frame after", "zstd", [good.as_slice(), &skippable].concat()),
        ("skippable before", "a skippable frame before", "zstd", [&good[..5], &skippable, coded].concat()),
        ("stored, cut", "a stored byte is missing", "short", vec![0, 2, 0, 0, 0, 7]),
        ("stored, trailing", "a stored byte too many", "trailing", vec![0, 1, 0, 0, 0, 7, 8]),
    ];
    for (name, comment, code, frame) in bad {
        cases.bad(&format!("frame: {name}"), comment, code, fields("config", &frame));
    }
    let useless = [head(1, 3), grown].concat();
    cases.bad("frame: not shorter", "zstd that is no shorter", "coder", fields("config", &useless));
}
