//! The vectors of `format-spec/vectors/`: made again they are the same, and the decoders answer as they say.

#[path = "vectors/answers.rs"]
mod answers;
#[path = "../../examples/vectors/make/mod.rs"]
mod make;
#[path = "vectors/whole.rs"]
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(make::FOLDER)
}

/// Every file below `root`, by its name there.
fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

fn stored(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

#[test]
fn the_committed_vectors_are_what_the_generator_makes() {
    let made: BTreeMap<String, Vec<u8>> = make::all().into_iter().collect();
    let mut committed = files_below(&folder());
    committed.remove("README.md");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&committed));
    for (name, bytes) in &made {
        assert!(committed[name] == *bytes, "{name} differs: `cargo run --example vectors` rewrites it");
    }
}

/// Tells whether a later case says otherwise.
fn is_superseded(set: &str, case: &Value) -> bool {
    make::SUPERSEDED.iter().any(|(of, name, _)| *of == set && case["name"] == *name)
}

#[test]
fn superseded_cases_stand_in_their_sets_and_were_refused_by_a_limit() {
    let later = [stored("transforms.json"), stored("chains.json")];
    for (set, name, now) in make::SUPERSEDED {
        let cases = stored(&format!("{set}.json"));
        let named = |cases: &Value, name: &str| {
            cases["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).cloned()
        };
        assert_eq!(named(&cases, name).unwrap()["expect"], "limit", "{set}/{name}");
        let allowed = later.iter().find_map(|cases| named(cases, now)).unwrap();
        assert_eq!(allowed["expect"], "ok", "{now}");
    }
}

#[test]
fn every_vector_is_answered_as_it_says() {
    let manifest = stored("manifest.json");
    let mut wrong = Vec::new();
    for set in manifest["sets"].as_array().unwrap() {
        let set = set.as_str().unwrap();
        let cases = stored(&format!("{set}.json"));
        let cases = cases["cases"].as_array().unwrap();
        assert!(!cases.is_empty(), "{set}");
        for case in cases.iter().filter(|case| !is_superseded(set, case)) {
            if let Err(difference) = answers::check(set, case) {
                wrong.push(format!("{set}/{}: {difference}", case["name"].as_str().unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} vectors disagree:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_code_of_refusal_has_a_vector() {
    let mut seen = std::collections::BTreeSet::new();
    for set in make::SETS {
        let cases = stored(&format!("{set}.json"));
        seen.extend(
            cases["cases"].as_array().unwrap().iter().map(|case| case["expect"].as_str().unwrap().to_owned()),
        );
    }
    let expected = stored("repos/v1-min/expected.json");
    seen.extend(
        expected["damage"].as_array().unwrap().iter().map(|case| case["expect"].as_str().unwrap().to_owned()),
    );
    for code in answers::CODES {
        assert!(seen.remove(code), "no vector is refused with {code}");
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["ok"]);
}

#[test]
fn the_example_repository_holds_what_is_listed() {
    let root = folder().join("repos/v1-min");
    let expected = stored("repos/v1-min/expected.json");
    let objects = files_below(&root.join("repository"));
    for secret in expected["secrets"].as_array().unwrap() {
        let found = whole::read(&objects, secret).unwrap();
        assert_eq!(Value::Object(found), expected["snapshots"], "opened with {secret}");
    }
}

#[test]
fn every_damaged_twin_of_the_example_repository_is_refused() {
    let root = folder().join("repos/v1-min");
    let expected = stored("repos/v1-min/expected.json");
    let objects = files_below(&root.join("repository"));
    for damage in expected["damage"].as_array().unwrap() {
        let mut twin = objects.clone();
        let name = damage["object"].as_str().unwrap();
        let number = |field: &str| usize::try_from(damage[field].as_u64().unwrap()).unwrap();
        match damage["op"].as_str().unwrap() {
            "remove" => drop(twin.remove(name)),
            "cut" => twin.get_mut(name).unwrap().truncate(number("length")),
            _ => twin.get_mut(name).unwrap()[number("offset")] ^= u8::try_from(number("xor")).unwrap(),
        }
        assert_ne!(twin, objects);
        let answer = whole::read(&twin, &expected["secrets"][0]).map(|_| ());
        assert!(answer.is_err(), "{}", damage["comment"]);
    }
}
