//! The shell of sealed objects (`format-spec/03-keys-sealing.md` 3.4): everything around the ciphertext.

use super::wire::{FormatError, Reader, Writer};
use super::{Kind, VERSION};
use crate::base::RepositoryId;

/// Length of a nonce.
pub const NONCE_SIZE_BYTES: usize = 24;
/// Length of an authentication tag.
pub const TAG_SIZE_BYTES: usize = 16;
/// Length of the head of a sealed object, nonce included.
pub const HEAD_SIZE_BYTES: usize = 36;
/// Length of the associated data.
pub const AAD_SIZE_BYTES: usize = 28;

/// Returns the associated data that binds a sealed thing to its kind, version and repository.
pub fn associated_data(kind: Kind, repository: &RepositoryId) -> [u8; AAD_SIZE_BYTES] {
    let mut aad = [0; AAD_SIZE_BYTES];
    aad[..9].copy_from_slice(b"snap seal");
    aad[9] = kind.number();
    aad[10..12].copy_from_slice(&VERSION.to_le_bytes());
    aad[12..].copy_from_slice(&repository.0);
    aad
}

/// Returns a sealed object: head, then `nonce ‖ ciphertext ‖ tag` as sealing gave it.
pub fn wrap(kind: Kind, sealed: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&kind.magic()).u16(VERSION).u8(0).u8(0).raw(sealed);
    out.finish()
}

/// Returns `nonce ‖ ciphertext ‖ tag` of a sealed object of `kind`.
pub fn unwrap(kind: Kind, object: &[u8]) -> Result<&[u8], FormatError> {
    let mut input = Reader::new(object, "sealed object");
    if input.array::<8>("magic")? != kind.magic() {
        return Err(FormatError::Magic { expected: kind.word() });
    }
    match input.u16("version")? {
        VERSION => {}
        found => return Err(FormatError::Version { found }),
    }
    if input.u8("recipient")? != 0 || input.u8("reserved byte")? != 0 {
        return Err(FormatError::invalid("recipient or reserved byte"));
    }
    let sealed = input.raw(input.remaining(), "sealed bytes")?;
    // The smallest frame is five bytes.
    if sealed.len() < NONCE_SIZE_BYTES + TAG_SIZE_BYTES + 5 {
        return Err(FormatError::Truncated { what: "sealed bytes" });
    }
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_of_another_kind_or_version_is_refused() {
        let object = wrap(Kind::Index, &[0; 50]);
        assert_eq!(unwrap(Kind::Index, &object).unwrap(), &[0; 50]);
        assert!(matches!(unwrap(Kind::Snapshot, &object), Err(FormatError::Magic { .. })));
        let mut newer = object.clone();
        newer[8] = 2;
        assert_eq!(unwrap(Kind::Index, &newer), Err(FormatError::Version { found: 2 }));
        let mut reserved = object;
        reserved[11] = 1;
        assert!(unwrap(Kind::Index, &reserved).is_err());
    }
}
