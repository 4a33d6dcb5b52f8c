//! Where the gateway listens, and whom it lets in.

use std::fmt;
use std::net::SocketAddr;

/// Where the gateway listens, and whom it lets in.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpSettings {
    /// None for no gateway.
    pub(crate) address: Option<SocketAddr>,
    /// Whether it is over TLS.
    pub(crate) secure: bool,
    /// Names by which it may be asked for, besides those of the loopback: with a port, or without for any port.
    pub(crate) hosts: Vec<String>,
    /// Origins of pages that may call, besides its own.
    pub(crate) origins: Vec<String>,
    pub(crate) token: Option<Token>,
}

/// A secret, which no log shows.
#[derive(Clone)]
pub(crate) struct Token(Box<[u8]>);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    /// Compares in a time that depends on the length alone.
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        let mut differ = u8::from(self.0.len() != other.len());
        for (at, byte) in self.0.iter().enumerate() {
            differ |= byte ^ other.get(at).copied().unwrap_or(!byte);
        }
        std::hint::black_box(differ) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_token_is_right_and_no_log_shows_it() {
        let token = Token::new("secret");
        assert!(token.is(b"secret"));
        for wrong in [&b""[..], b"secre", b"secrets", b"secreT", b"\xff"] {
            assert!(!token.is(wrong));
        }
        assert!(!format!("{token:?}").contains("secret"));
    }
}
