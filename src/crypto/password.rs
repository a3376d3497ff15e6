//! Key files: a master key wrapped under a password or a raw secret (`format-spec/03-keys-sealing.md` 3.5).

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::MasterKey;
use super::xaes::XaesKey;
use crate::base::{Entropy, RepositoryId, Time};
use crate::format::FormatError;
use crate::format::keyfile::{Kdf, KeyBody, KeyFile};

/// What a person or a server opens a repository with.
pub enum Secret {
    /// A password.
    Password(Zeroizing<Vec<u8>>),
    /// The 32 bytes of a raw key file.
    Raw(Zeroizing<[u8; 32]>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Secret::Password([redacted])",
            Self::Raw(_) => "Secret::Raw([redacted])",
        })
    }
}

/// A key file does not give its master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// This secret is not the one that the file was made with.
    #[error("the secret does not open this key file")]
    WrongSecret,
    /// The secret is right, or the file unreadable: its bytes are damaged.
    #[error("the key file is damaged")]
    Damaged(#[source] Option<FormatError>),
    /// The derivation could not be run, for want of memory.
    #[error("cannot run the key derivation with {memory_kib} KiB of memory")]
    Derivation {
        /// What it needs.
        memory_kib: u32,
    },
}

/// Returns a new key file that wraps `master` under `secret`.
pub fn wrap(
    repository: RepositoryId,
    master: &MasterKey,
    secret: &Secret,
    label: &str,
    created: Time,
    entropy: &dyn Entropy,
) -> Result<KeyFile, KeyFileError> {
    let kdf = match secret {
        Secret::Password(_) => Kdf::DEFAULT,
        Secret::Raw(_) => Kdf::Raw,
    };
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let (kek, commitment) = derive(kdf, secret, &salt)?;
    let mut body = KeyBody { repository, master: *master.expose(), created, label: label.to_owned() };
    let plain = body.encode().map(Zeroizing::new);
    body.master.zeroize();
    let plain = plain.map_err(|error| KeyFileError::Damaged(Some(error)))?;
    let mut file = KeyFile { kdf, salt, commitment, sealed: Vec::new() };
    file.sealed = XaesKey::new(&kek).seal(entropy, &file.head(), &plain);
    Ok(file)
}

/// Returns the repository, the master key and the label that `file` holds.
pub fn unwrap(file: &KeyFile, secret: &Secret) -> Result<(RepositoryId, MasterKey, String), KeyFileError> {
    let matches = matches!(
        (file.kdf, secret),
        (Kdf::Raw, Secret::Raw(_)) | (Kdf::Argon2id { .. }, Secret::Password(_))
    );
    if !matches {
        return Err(KeyFileError::WrongSecret);
    }
    let (kek, commitment) = derive(file.kdf, secret, &file.salt)?;
    if !bool::from(commitment.ct_eq(&file.commitment)) {
        return Err(KeyFileError::WrongSecret);
    }
    let plain = XaesKey::new(&kek).open(&file.head(), &file.sealed);
    let plain = Zeroizing::new(plain.map_err(|_| KeyFileError::Damaged(None))?);
    let mut body = KeyBody::decode(&plain).map_err(|error| KeyFileError::Damaged(Some(error)))?;
    let master = MasterKey::from_bytes(body.master);
    body.master.zeroize();
    Ok((body.repository, master, body.label))
}

fn derive(
    kdf: Kdf,
    secret: &Secret,
    salt: &[u8; 16],
) -> Result<(Zeroizing<[u8; 32]>, [u8; 32]), KeyFileError> {
    let stretched = match (kdf, secret) {
        (Kdf::Argon2id { memory_kib, passes, lanes }, Secret::Password(password)) => {
            stretch(password, salt, memory_kib, passes, lanes)?
        }
        (_, Secret::Raw(raw)) => raw.clone(),
        (Kdf::Raw, Secret::Password(_)) => return Err(KeyFileError::WrongSecret),
    };
    let mut both = Zeroizing::new([0_u8; 64]);
    blake3::Hasher::new_derive_key("snap-backup 2026 v1 key file")
        .update(stretched.as_ref())
        .update(salt)
        .finalize_xof()
        .fill(both.as_mut());
    let mut kek = Zeroizing::new([0; 32]);
    kek.copy_from_slice(&both[..32]);
    let mut commitment = [0; 32];
    commitment.copy_from_slice(&both[32..]);
    Ok((kek, commitment))
}

fn stretch(
    password: &[u8],
    salt: &[u8; 16],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    use argon2::{Algorithm, Argon2, Params, Version};
    let failed = |_| KeyFileError::Derivation { memory_kib };
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(failed)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, out.as_mut())
        .map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SeededEntropy;

    fn password(text: &str) -> Secret {
        Secret::Password(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_key_file_opens_with_its_secret_and_tells_a_wrong_one_from_damage() {
        let entropy = SeededEntropy::new(3);
        let master = MasterKey::generate(&entropy);
        let repository = RepositoryId([4; 16]);
        for (right, wrong) in [
            (password("right"), password("wrong")),
            (Secret::Raw(Zeroizing::new([1; 32])), Secret::Raw(Zeroizing::new([2; 32]))),
        ] {
            let file = wrap(repository, &master, &right, "me", Time::default(), &entropy).unwrap();
            let (id, opened, label) = unwrap(&file, &right).unwrap();
            assert_eq!((id, opened.expose(), label.as_str()), (repository, master.expose(), "me"));
            assert_eq!(unwrap(&file, &wrong).unwrap_err(), KeyFileError::WrongSecret);
            let mut damaged = file.clone();
            damaged.sealed[30] ^= 1;
            assert_eq!(unwrap(&damaged, &right).unwrap_err(), KeyFileError::Damaged(None));
        }
    }
}
