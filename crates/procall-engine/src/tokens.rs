//! The tokens that an engine knows, and who may come in with which.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use procall::transport::PeerCredentials;
use procall::{Error, ErrorCode, Executed, Secrets, surroundings};

use crate::rights::Rights;

/// Shortest and longest secret in bytes.
const SECRET: std::ops::RangeInclusive<usize> = 16..=256;
/// Longest name of a token in bytes.
const MAX_NAME: usize = 64;

/// One token: what it is called, what is to be shown, and what it allows.
#[derive(Clone)]
pub(crate) struct Token {
    name: Arc<str>,
    secret: Vec<u8>,
    rights: Arc<Rights>,
}

/// All but the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("rights", &self.rights).finish()
    }
}

impl Token {
    pub(crate) fn new(name: &str, secret: Vec<u8>, rights: Rights) -> Self {
        Self { name: name.into(), secret, rights: Arc::new(rights) }
    }

    fn check(&self) -> Result<(), Error> {
        let name = &self.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Error::invalid(format!(
                "a token has no usable name; use up to {MAX_NAME} letters, digits and -_."
            )));
        }
        if !SECRET.contains(&self.secret.len()) {
            return Err(Error::invalid(format!(
                "the secret of the token \"{name}\" has {} bytes; it needs {} to {}, such as those of `openssl rand -hex 32`",
                self.secret.len(),
                SECRET.start(),
                SECRET.end(),
            )));
        }
        Ok(())
    }
}

/// What a peer has been let in with.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The name of the token it has shown; `None` for one without.
    pub token: Option<Arc<str>>,
    /// What it may do.
    pub rights: Arc<Rights>,
}

impl Pass {
    /// Of those who are not let in yet.
    pub(crate) fn empty() -> Self {
        Self { token: None, rights: Arc::new(Rights::none()) }
    }

    /// Of those who may do everything: the engine itself, and what lives in its process.
    pub(crate) fn full() -> Self {
        Self { token: None, rights: Arc::new(Rights::all()) }
    }
}

/// Who may come in, and what they may do then.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    tokens: Vec<Token>,
    secrets: Secrets,
    guests: Arc<Rights>,
    own: u32,
}

impl Doors {
    /// Refuses tokens that are too easy to guess, or that cannot be told apart.
    pub(crate) fn new(tokens: Vec<Token>, guests: Rights) -> Result<Self, Error> {
        for (at, token) in tokens.iter().enumerate() {
            token.check()?;
            let before = &tokens[..at];
            if before.iter().any(|other| other.name == token.name) {
                let name = &token.name;
                return Err(Error::invalid(format!("there are two tokens called \"{name}\"")));
            }
            if let Some(other) = before.iter().find(|other| other.secret == token.secret) {
                return Err(Error::invalid(format!(
                    "the tokens \"{}\" and \"{}\" have the same secret; give each its own",
                    other.name, token.name
                )));
            }
        }
        let secrets = Secrets::new(tokens.iter().map(|token| token.secret.clone()));
        let own = rustix::process::geteuid().as_raw();
        Ok(Self { tokens, secrets, guests: Arc::new(guests), own })
    }

    /// What a peer may do that has shown no token; `None` when it must.
    ///
    /// A process of our own user, where the kernel vouches for it, could do whatever we can in other ways.
    pub(crate) fn without_token(&self, credentials: Option<PeerCredentials>) -> Option<Pass> {
        if credentials.is_some_and(|peer| self.is_own(peer.uid)) {
            return Some(Pass::full());
        }
        let free = self.tokens.is_empty();
        free.then(|| self.guest())
    }

    /// Whether there are tokens, of which those must show one whom the kernel does not vouch for.
    pub(crate) fn ask(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What peers may do that need no token.
    pub(crate) fn guest(&self) -> Pass {
        Pass { token: None, rights: self.guests.clone() }
    }

    /// Whether a user is ours, or root.
    pub(crate) fn is_own(&self, user: u32) -> bool {
        user == self.own || user == 0
    }

    /// Whether there is any token, so that peers over TCP must show one.
    pub(crate) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What a native peer is to show.
    pub(crate) fn secrets(&self, needed: bool) -> Secrets {
        if needed { self.secrets.clone() } else { self.secrets.clone().optional() }
    }

    /// What the token with this place among the secrets allows.
    pub(crate) fn pass(&self, secret: usize) -> Option<Pass> {
        let token = self.tokens.get(secret)?;
        Some(Pass { token: Some(token.name.clone()), rights: token.rights.clone() })
    }

    /// Lets a peer in, or not.
    pub(crate) fn admit(
        &self,
        credentials: Option<PeerCredentials>,
        token: Option<&[u8]>,
    ) -> Result<Pass, Error> {
        let refused =
            |message| Error::new(ErrorCode::Unauthenticated, message).with_executed(Executed::No);
        let admitted = match token {
            Some(given) if !self.tokens.is_empty() => {
                let found = self.secrets.find(given).and_then(|at| self.pass(at));
                found.ok_or("the token is wrong")
            }
            _ => self.without_token(credentials).ok_or("a token is needed"),
        };
        admitted.map_err(refused)
    }
}

/// Reads a file of tokens: one a line, `name secret rights…`; empty lines and those that begin with `#` count for nothing.
pub(crate) fn read(path: &Path) -> Result<Vec<Token>, Error> {
    let text = surroundings::read_secret(path)?;
    let place = |at: usize| format!("{}:{}", path.display(), at + 1);
    let text = std::str::from_utf8(&text)
        .map_err(|_| Error::invalid(format!("{} is no UTF-8 text", path.display())))?;
    let mut tokens = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // What stands in the line is not repeated in errors: it may be the secret.
        let mut words = line.split_whitespace();
        let (Some(name), Some(secret), Some(first)) = (words.next(), words.next(), words.next())
        else {
            return Err(Error::invalid(format!(
                "{} is not `name secret rights…`; rights are call=PATTERN, register=PATTERN, broadcast, administer, or all",
                place(at)
            )));
        };
        let rights = std::iter::once(first).chain(words).collect::<Vec<_>>().join(" ");
        let rights: Rights = rights.parse().map_err(|_| {
            Error::invalid(format!(
                "{} has a word that is no right; there are call=PATTERN, register=PATTERN, broadcast, administer and all",
                place(at)
            ))
        })?;
        let token = Token::new(name, secret.as_bytes().to_vec(), rights);
        token.check().map_err(|error| Error::invalid(format!("{}: {error}", place(at))))?;
        tokens.push(token);
    }
    if tokens.is_empty() {
        return Err(Error::invalid(format!(
            "{} has no tokens; write one a line, `name secret rights…`",
            path.display()
        )));
    }
    Ok(tokens)
}
