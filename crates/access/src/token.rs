//! Bearer tokens: long random strings of which only a hash is kept.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The shortest token, in characters.
const SHORTEST: usize = 16;

/// The SHA-256 of a token. Tokens are random and long, so a slow hash would gain nothing
/// (OWASP, Session Management: at least 64 bits of entropy).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// A hash that is not written as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is no SHA-256 in 64 hexadecimal digits; `foreshadow token` makes a token and its hash")]
pub struct TokenHashError;

/// A token that cannot be sent in a header or is too easily guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token must have at least 16 printable ASCII characters without spaces")]
pub struct WeakToken;

/// Whether a token may be used at all.
///
/// # Errors
/// [`WeakToken`] if it is too short or cannot be a header's value.
pub fn check_token(token: &str) -> Result<(), WeakToken> {
    let sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
    (token.len() >= SHORTEST && sendable)
        .then_some(())
        .ok_or(WeakToken)
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(TokenHashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

fn digit(byte: u8) -> Result<u8, TokenHashError> {
    let value = char::from(byte).to_digit(16).ok_or(TokenHashError)?;
    u8::try_from(value).map_err(|_| TokenHashError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written_and_is_that_of_sha256() {
        let hash = TokenHash::of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for wrong in ["", "ba78", &text.replace('a', "x")] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(TokenHashError), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_long_and_printable() {
        assert_eq!(check_token("correct-horse-battery"), Ok(()));
        for weak in [
            "short",
            "with a space in the middle",
            "correct-hörse-battery",
        ] {
            assert_eq!(check_token(weak), Err(WeakToken), "{weak}");
        }
    }
}
