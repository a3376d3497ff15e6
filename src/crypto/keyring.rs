//! The master key and what is derived from it (`format-spec/03-keys-sealing.md` 3.1, 3.4).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::OpenError;
use super::xaes::XaesKey;
use crate::base::{ChunkId, Entropy, RepositoryId};

/// The 32 bytes that everything hangs on. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Returns a new random key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(key.as_mut());
        Self(key)
    }

    /// Returns the key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes, for key files and sheets alone.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// The subkeys of one repository, ready for use from many threads.
#[derive(Clone)]
pub struct KeyRing {
    repository: RepositoryId,
    id_data: Zeroizing<[u8; 32]>,
    id_tree: Zeroizing<[u8; 32]>,
    seal: XaesKey,
    gear: Zeroizing<Vec<u64>>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({}, [redacted])", self.repository.short())
    }
}

/// Returns the 256 entries of the secret gear table.
pub fn gear_table(master: &MasterKey) -> Zeroizing<Vec<u64>> {
    let mut bytes = Zeroizing::new([0_u8; 2048]);
    blake3::Hasher::new_derive_key("snap-backup 2026 v1 gear table")
        .update(master.expose())
        .finalize_xof()
        .fill(bytes.as_mut());
    let entry = |piece: &[u8]| {
        let mut word = [0; 8];
        word.copy_from_slice(piece);
        u64::from_le_bytes(word)
    };
    Zeroizing::new(bytes.chunks_exact(8).map(entry).collect())
}

fn subkey(context: &str, master: &MasterKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(context, master.expose()))
}

impl KeyRing {
    /// Derives all subkeys of `repository` from `master`; nonces will come from `entropy`.
    pub fn new(repository: RepositoryId, master: &MasterKey, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            repository,
            id_data: subkey("snap-backup 2026 v1 chunk id data", master),
            id_tree: subkey("snap-backup 2026 v1 chunk id tree", master),
            seal: XaesKey::new(&subkey("snap-backup 2026 v1 seal", master)),
            gear: gear_table(master),
            entropy,
        }
    }

    /// Returns the repository that the keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// Returns the id of a data chunk.
    pub fn data_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id_data, plain).as_bytes())
    }

    /// Returns the id of a tree or list chunk.
    pub fn tree_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id_tree, plain).as_bytes())
    }

    /// Returns the secret gear table, 256 entries.
    pub fn gear(&self) -> &[u64] {
        &self.gear
    }

    /// Returns `nonce ‖ ciphertext ‖ tag` of `plain`, bound to `aad`.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.seal.seal(self.entropy.as_ref(), aad, plain)
    }

    /// The same in place: the plaintext stands in `message` behind
    /// [`FRONT_BYTES`](super::xaes::FRONT_BYTES) bytes of any content.
    pub fn seal_behind(&self, aad: &[u8], message: Vec<u8>) -> Vec<u8> {
        self.seal.seal_behind(self.entropy.as_ref(), aad, message)
    }

    /// As [`KeyRing::open`], into the beginning of `room`, which grows when it is shorter; returns the
    /// plaintext in it.
    pub fn open_into<'b>(
        &self,
        aad: &[u8],
        sealed: &[u8],
        room: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], OpenError> {
        self.seal.open_into(aad, sealed, room)
    }

    /// Returns what [`KeyRing::seal`] sealed with the same `aad`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.seal.open(aad, sealed)
    }

    /// Returns the randomness of this ring.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SeededEntropy;

    #[test]
    fn data_and_tree_ids_of_the_same_bytes_differ() {
        let master = MasterKey::from_bytes([1; 32]);
        let ring = KeyRing::new(RepositoryId([2; 16]), &master, Arc::new(SeededEntropy::new(1)));
        assert_ne!(ring.data_id(b"x"), ring.tree_id(b"x"));
        assert_eq!(ring.gear().len(), 256);
        assert!(!format!("{ring:?}{master:?}").contains("0101"));
    }
}
