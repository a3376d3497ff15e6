//! `docs/cli.md` is what `snap reference` prints.

#[test]
fn the_written_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == snap::cli::reference(), "write it anew: cargo run -- reference > docs/cli.md");
}
