//! Rewrites `format-spec/vectors/`: `cargo run --example vectors`. The same program writes the same bytes.

mod make;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(make::FOLDER);
    let repositories = folder.join("repos");
    if repositories.exists() {
        std::fs::remove_dir_all(&repositories)?;
    }
    let files = make::all();
    for (name, bytes) in &files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    println!("{} files in {}", files.len(), folder.display());
    Ok(())
}
