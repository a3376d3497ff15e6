//! Which crate may be used where.

use super::scan::words;
use super::{library, require_none};

/// Crates and the only places that may use them.
const CONFINED: [(&[&str], &[&str]); 6] = [
    (&["tokio", "object_store", "reqwest"], &["src/backend/"]),
    (&["rusqlite"], &["src/index/"]),
    (&["aes", "aes_gcm", "aws_lc_rs", "argon2"], &["src/crypto/"]),
    (&["zstd"], &["src/codec/", "src/format/frame.rs", "src/format/zstd_frame.rs"]),
    (&["clap", "clap_complete", "indicatif", "rpassword", "signal_hook"], &["src/cli/", "src/cli.rs"]),
    // The index asks for the folder of temporary files, and nothing else of the environment.
    (&["std::env"], &["src/cli/", "src/backend/s3/", "src/main.rs", "src/index/folder.rs"]),
];

/// Rooms whose callers decide about threads.
const WITHOUT_THREADS: [&str; 4] = ["base", "format", "crypto", "codec"];

/// Returns the lines of `code` that use the crate `name`: as the head of a path, or as all of a `use`.
fn uses(code: &str, name: &str) -> Vec<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let is_use = |(line, after): &(usize, &str)| {
        let text = lines[line - 1];
        let before = text[..text.len() - after.len() - name.len()].trim_end();
        let is_head = !before.ends_with("::") && !before.ends_with('.');
        is_head && (after.starts_with("::") || (before.ends_with("use") && after.starts_with([';', ' '])))
    };
    words(code, name).iter().filter(|found| is_use(found)).map(|(line, _)| *line).collect()
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for source in library() {
        for (names, places) in CONFINED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for name in names {
                let lines = uses(&source.shipped, name);
                broken.extend(lines.iter().map(|line| format!("{}:{line} uses {name}", source.path)));
            }
        }
        if source.room().is_some_and(|room| WITHOUT_THREADS.contains(&room)) {
            let lines = uses(&source.shipped, "rayon");
            broken.extend(lines.iter().map(|line| format!("{}:{line} uses rayon", source.path)));
        }
    }
    require_none("crates stay in their rooms", &broken);
}

#[test]
fn a_crate_is_used_by_its_paths_and_not_by_names_like_it() {
    let code = "use zstd::a;\nlet x = zstd::b();\nself::zstd::c();\nuse zstd;\nlet zstd = 1;\nuse zstd as z;";
    assert_eq!(uses(code, "zstd"), [1, 2, 4, 6]);
    assert_eq!(uses("use std::env;\nstd::env::var(x);\nstd::environment::y", "std::env"), [1, 2]);
}
