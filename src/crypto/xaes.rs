//! XAES-256-GCM: AES-256-GCM under a key derived from a random 192-bit nonce (C2SP, `XAES-256-GCM`).

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

use super::{OpenError, gcm};
use crate::base::Entropy;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What stands before the ciphertext.
pub const FRONT_BYTES: usize = NONCE_BYTES;
/// What sealing adds: nonce and tag.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A key with its AES schedule made.
#[derive(Clone)]
pub struct XaesKey {
    cipher: Aes256,
    k1: Zeroizing<[u8; 16]>,
}

impl std::fmt::Debug for XaesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("XaesKey([redacted])")
    }
}

/// The values that lead to the key of one message, for test vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// AES of the zero block.
    pub l: [u8; 16],
    /// Subkey of the two blocks.
    pub k1: [u8; 16],
    /// First block before masking.
    pub m1: [u8; 16],
    /// Second block before masking.
    pub m2: [u8; 16],
    /// Key of the message.
    pub kx: [u8; 32],
    /// Nonce of the message.
    pub nx: [u8; 12],
}

impl XaesKey {
    /// Returns the key.
    pub fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes256::new(key.into());
        let l = encrypt(&cipher, [0; 16]);
        let doubled = u128::from_be_bytes(l) << 1;
        let reduced = if l[0] & 0x80 == 0 { doubled } else { doubled ^ 0x87 };
        Self { cipher, k1: Zeroizing::new(reduced.to_be_bytes()) }
    }

    /// Returns every value on the way to a message's key.
    pub fn derive(&self, nonce: &[u8; NONCE_BYTES]) -> Derivation {
        let block = |counter: u8| {
            let mut block = [0; 16];
            block[1] = counter;
            block[2] = 0x58;
            block[4..].copy_from_slice(&nonce[..12]);
            block
        };
        let (m1, m2) = (block(1), block(2));
        let mask =
            |block: [u8; 16]| (u128::from_be_bytes(block) ^ u128::from_be_bytes(*self.k1)).to_be_bytes();
        let mut kx = [0; 32];
        kx[..16].copy_from_slice(&encrypt(&self.cipher, mask(m1)));
        kx[16..].copy_from_slice(&encrypt(&self.cipher, mask(m2)));
        let mut nx = [0; 12];
        nx.copy_from_slice(&nonce[12..]);
        Derivation { l: encrypt(&self.cipher, [0; 16]), k1: *self.k1, m1, m2, kx, nx }
    }

    fn message_key(&self, nonce: &[u8; NONCE_BYTES]) -> (Zeroizing<[u8; 32]>, [u8; 12]) {
        let derivation = self.derive(nonce);
        (Zeroizing::new(derivation.kx), derivation.nx)
    }

    /// Returns `nonce ‖ ciphertext ‖ tag` of `plain` under a fresh nonce.
    pub fn seal(&self, entropy: &dyn Entropy, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.resize(NONCE_BYTES, 0);
        sealed.extend_from_slice(plain);
        self.seal_behind(entropy, aad, sealed)
    }

    /// The same in place: the plaintext stands in `message` behind [`FRONT_BYTES`] bytes of any content.
    pub fn seal_behind(&self, entropy: &dyn Entropy, aad: &[u8], mut message: Vec<u8>) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        message.resize(message.len().max(NONCE_BYTES), 0);
        let (front, plain) = message.split_at_mut(NONCE_BYTES);
        front.copy_from_slice(&nonce);
        let (key, short_nonce) = self.message_key(&nonce);
        let tag = gcm::seal(&key, &short_nonce, aad, plain);
        message.extend_from_slice(&tag);
        message
    }

    /// Returns the plaintext of `nonce ‖ ciphertext ‖ tag`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::new();
        self.open_into(aad, sealed, &mut plain)?;
        Ok(plain)
    }

    /// The same into the beginning of `room`, which grows when it is shorter; returns the plaintext in it.
    pub fn open_into<'b>(
        &self,
        aad: &[u8],
        sealed: &[u8],
        room: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], OpenError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        let plain_bytes = rest.len().checked_sub(TAG_BYTES).ok_or(OpenError)?;
        if room.len() < plain_bytes {
            room.resize(plain_bytes, 0);
        }
        let plain = &mut room[..plain_bytes];
        let (key, short_nonce) = self.message_key(nonce);
        gcm::open(&key, &short_nonce, aad, rest, plain)?;
        Ok(plain)
    }
}

fn encrypt(cipher: &Aes256, block: [u8; 16]) -> [u8; 16] {
    let mut block = Array::from(block);
    cipher.encrypt_block(&mut block);
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SeededEntropy;
    use crate::base::id::{hex, unhex};

    /// The two vectors of the C2SP specification.
    #[test]
    fn published_vectors_hold() {
        let nonce: [u8; 24] = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let cases: [(u8, &[u8], &str, &str); 2] = [
            (0x01, b"", "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b", "4fd4bab04dd6"),
            (
                0x03,
                b"c2sp.org/XAES-256-GCM",
                "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
                "",
            ),
        ];
        for (key, aad, kx, _) in cases {
            let key = XaesKey::new(&[key; 32]);
            assert_eq!(hex(&key.derive(&nonce).kx), kx);
            let (message_key, short) = key.message_key(&nonce);
            let mut text = b"XAES-256-GCM".to_vec();
            let tag = gcm::seal(&message_key, &short, aad, &mut text);
            text.extend_from_slice(&tag);
            let sealed = [nonce.as_slice(), &text].concat();
            assert_eq!(key.open(aad, &sealed).unwrap(), b"XAES-256-GCM");
        }
        let sealed = "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271";
        let all = [nonce.as_slice(), &unhex(sealed).unwrap()].concat();
        assert_eq!(XaesKey::new(&[1; 32]).open(b"", &all).unwrap(), b"XAES-256-GCM");
    }

    #[test]
    fn sealed_bytes_open_under_the_same_key_and_data_only() {
        let entropy = SeededEntropy::new(1);
        let key = XaesKey::new(&[5; 32]);
        let sealed = key.seal(&entropy, b"aad", b"plain");
        assert_eq!(key.open(b"aad", &sealed).unwrap(), b"plain");
        assert_eq!(key.open(b"other", &sealed), Err(OpenError));
        assert_eq!(XaesKey::new(&[6; 32]).open(b"aad", &sealed), Err(OpenError));
        for end in 0..sealed.len() {
            assert_eq!(key.open(b"aad", &sealed[..end]), Err(OpenError));
        }
    }
}
