//! Secrets as new files: 0600, in folders 0700, never over one that is there.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::base::Entropy;
use crate::base::escape::escape_name;
use crate::cli::error::CliError;
use crate::crypto::Secret;
use crate::format::sheet::{self, SheetKind};

/// Makes a random secret and writes it to `path` as a raw key file; `note` is the comment on top.
pub fn make(path: &Path, note: &str, entropy: &dyn Entropy) -> Result<Secret, CliError> {
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(secret.as_mut());
    let sheet = sheet::encode(SheetKind::Raw, secret.as_ref());
    write_new(path, &Zeroizing::new(format!("{note}{}", sheet.as_str())))?;
    Ok(Secret::Raw(secret))
}

/// Writes `text` to a new file, durably; folders on the way are made.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        let name = escape_name(path.as_os_str().as_encoded_bytes());
        match error.kind() {
            io::ErrorKind::AlreadyExists => CliError::failed(format!("{name} is there already"))
                .with_hint("name a file that does not exist; keys are never overwritten"),
            _ => CliError::failed(format!("cannot write {name}")).with_source(error),
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let folder = folder.unwrap_or(Path::new("."));
    let written = written.and_then(|()| std::fs::File::open(folder)?.sync_all());
    written.map_err(|error| {
        // Half a key is worse than none.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}
