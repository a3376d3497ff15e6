//! AES-256-GCM with a derived key, by `aws-lc-rs` or (without the feature `aws-lc`) by `aes-gcm`.

#[cfg(feature = "aws-lc")]
use super::OpenError;

/// Seals `buffer` in place and returns the tag.
#[cfg(feature = "aws-lc")]
pub(super) fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> [u8; 16] {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let mut tag = [0; 16];
    // A 32-byte key always fits and no buffer here comes near the 64 GiB bound, so neither call fails.
    let Ok(key) = UnboundKey::new(&AES_256_GCM, key) else { std::process::abort() };
    let nonce = Nonce::assume_unique_for_key(*nonce);
    match LessSafeKey::new(key).seal_in_place_separate_tag(nonce, Aad::from(aad), buffer) {
        Ok(made) => tag.copy_from_slice(made.as_ref()),
        Err(_) => std::process::abort(),
    }
    tag
}

/// Opens `sealed` (ciphertext and tag) into `plain`, which is as long as the ciphertext.
#[cfg(feature = "aws-lc")]
pub(super) fn open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), OpenError> {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let (ciphertext, tag) = sealed.split_at_checked(plain.len()).ok_or(OpenError)?;
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| OpenError)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = LessSafeKey::new(key).open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plain);
    opened.map_err(|_| OpenError)
}

#[cfg(not(feature = "aws-lc"))]
pub(super) use portable::{open, seal};

#[cfg(any(test, not(feature = "aws-lc")))]
pub(super) mod portable {
    use aes_gcm::aead::KeyInit;
    use aes_gcm::{AeadInOut, Aes256Gcm};

    use crate::crypto::OpenError;

    /// As `seal` above, by the `aes-gcm` crate.
    pub(in crate::crypto) fn seal(
        key: &[u8; 32],
        nonce: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> [u8; 16] {
        let cipher = Aes256Gcm::new(key.into());
        // Fails only beyond 64 GiB, which no buffer here comes near.
        match cipher.encrypt_inout_detached(nonce.into(), aad, buffer.into()) {
            Ok(tag) => tag.into(),
            Err(_) => std::process::abort(),
        }
    }

    /// As `open` above, by the `aes-gcm` crate.
    pub(in crate::crypto) fn open(
        key: &[u8; 32],
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let (ciphertext, tag) = sealed.split_at_checked(plain.len()).ok_or(OpenError)?;
        let tag: [u8; 16] = tag.try_into().map_err(|_| OpenError)?;
        plain.copy_from_slice(ciphertext);
        let cipher = Aes256Gcm::new(key.into());
        cipher.decrypt_inout_detached(nonce.into(), aad, plain.into(), &tag.into()).map_err(|_| OpenError)
    }
}

#[cfg(all(test, feature = "aws-lc"))]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_make_the_same_bytes() {
        for length in [0, 1, 15, 16, 17, 1000, 65_537] {
            let plain: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
            let (mut one, mut two) = (plain.clone(), plain.clone());
            let tag_one = seal(&[7; 32], &[9; 12], b"aad", &mut one);
            let tag_two = portable::seal(&[7; 32], &[9; 12], b"aad", &mut two);
            assert_eq!((&one, tag_one), (&two, tag_two));
            one.extend_from_slice(&tag_one);
            let (mut opened, mut other) = (vec![1; plain.len()], vec![2; plain.len()]);
            assert_eq!(portable::open(&[7; 32], &[9; 12], b"aad", &one, &mut opened), Ok(()));
            assert_eq!(open(&[7; 32], &[9; 12], b"aad", &one, &mut other), Ok(()));
            assert_eq!((&opened, &other), (&plain, &plain));
        }
    }

    #[test]
    fn a_flipped_bit_opens_in_neither() {
        let mut sealed = vec![1, 2, 3];
        let tag = seal(&[7; 32], &[9; 12], b"", &mut sealed);
        sealed.extend_from_slice(&tag);
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            let mut plain = [0; 3];
            assert_eq!(open(&[7; 32], &[9; 12], b"", &flipped, &mut plain), Err(OpenError));
            assert_eq!(portable::open(&[7; 32], &[9; 12], b"", &flipped, &mut plain), Err(OpenError));
        }
    }
}
