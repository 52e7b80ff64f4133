//! `mysql_native_password`: the client proves that it knows the password without sending it.
//!
//! The token is SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))), and empty without a password.

use sha1::{Digest, Sha1};

/// The greeting's random bytes, without the NUL that follows them on the wire.
pub(super) type Scramble = [u8; 20];

/// A scramble made from the connection's number (SplitMix64): bytes 1 to 127, since it is sent as a string that ends with NUL.
pub(super) fn scramble(connection: u64) -> Scramble {
    let mut state = connection;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % 127) as u8 + 1
    })
}

/// What a client that knows the password answers to the scramble.
pub(super) fn token(password: &str, scramble: &Scramble) -> [u8; 20] {
    let once: [u8; 20] = Sha1::digest(password).into();
    let twice: [u8; 20] = Sha1::digest(once).into();
    let mask: [u8; 20] = Sha1::new().chain_update(scramble).chain_update(twice).finalize().into();
    std::array::from_fn(|index| once[index] ^ mask[index])
}

/// Whether the client's answer is that of one who knows the password.
pub(super) fn accepts(password: Option<&str>, scramble: &Scramble, answer: &[u8]) -> bool {
    match password {
        None => true,
        Some("") => answer.is_empty(),
        Some(password) => answer == token(password, scramble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_makes_the_token() {
        let scramble = scramble(1);
        assert!(accepts(Some("secret"), &scramble, &token("secret", &scramble)));
        assert!(!accepts(Some("secret"), &scramble, &token("Secret", &scramble)));
        assert!(!accepts(Some("secret"), &scramble, b""));
        assert!(accepts(Some(""), &scramble, b""));
        assert!(accepts(None, &scramble, b"whatever"));
    }

    #[test]
    fn scrambles_differ_and_can_be_sent_as_strings() {
        assert_ne!(scramble(1), scramble(2));
        assert!((0..100).flat_map(scramble).all(|byte| (1..128).contains(&byte)));
    }
}
