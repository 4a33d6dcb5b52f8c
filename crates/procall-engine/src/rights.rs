//! What a peer may do.

use std::fmt;
use std::str::FromStr;

use procall::{Error, ErrorCode, Executed};

/// Names of the methods that are the engine's own.
const OWN: &str = "procall.";
/// Of these, those that only look. All others change something: they need the right to administer.
const LOOKS: [&str; 6] = [
    "procall.engine.peers",
    "procall.engine.list",
    "procall.engine.services",
    "procall.engine.strays",
    "procall.engine.calls",
    "procall.engine.events",
];
/// Longest pattern in bytes: that of the longest name.
const MAX_PATTERN: usize = 255;

/// What a peer may do: which methods it may call, what it may serve, whether it may broadcast, and whether it may administer the engine.
///
/// As text they are words: `call=math.*`, `register=model`, `broadcast`, `administer`, or `all` for all of it. In a pattern `*` stands for
/// any text. The right to call covers notifications; that to register covers a service and the full names of its methods.
///
/// ```
/// use procall_engine::Rights;
///
/// let rights = Rights::none().call("math.*").call("model.version").broadcast();
/// assert_eq!(rights, "call=math.* call=model.version broadcast".parse()?);
/// assert!(rights.may_call("math.add") && !rights.may_call("mathematics"));
/// assert!(!rights.may_register("math") && !rights.may_call("procall.engine.cancel"));
/// # Ok::<(), procall::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    call: Patterns,
    register: Patterns,
    broadcast: bool,
    administer: bool,
}

impl Rights {
    /// Nothing at all.
    pub const fn none() -> Self {
        Self {
            call: Patterns(Vec::new()),
            register: Patterns(Vec::new()),
            broadcast: false,
            administer: false,
        }
    }

    /// To call and serve everything, and to broadcast, but not to administer the engine.
    pub fn user() -> Self {
        Self::none().call("*").register("*").broadcast()
    }

    /// Everything.
    pub fn all() -> Self {
        Self::user().administer()
    }

    /// To call the methods whose full names are like this, besides those that it may call already.
    #[must_use]
    pub fn call(mut self, pattern: impl Into<String>) -> Self {
        self.call.0.push(pattern.into());
        self
    }

    /// To register the services, or single methods by full name, that are like this, besides those that it may register already.
    #[must_use]
    pub fn register(mut self, pattern: impl Into<String>) -> Self {
        self.register.0.push(pattern.into());
        self
    }

    /// To send notifications to everybody.
    #[must_use]
    pub fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// To cancel the calls of others, to stop the engine, and to call whatever else of the engine's own changes something.
    #[must_use]
    pub fn administer(mut self) -> Self {
        self.administer = true;
        self
    }

    /// Whether a method of this full name may be called.
    pub fn may_call(&self, method: &str) -> bool {
        match method.starts_with(OWN) {
            true => self.administer || LOOKS.contains(&method) && self.call.fit(method),
            false => self.call.fit(method),
        }
    }

    /// Whether a service or a method of this full name may be registered: itself, or what stands before one of its dots.
    pub fn may_register(&self, name: &str) -> bool {
        let above = name.match_indices('.').map(|(at, _)| &name[..at]);
        above.chain([name]).any(|name| self.register.fit(name))
    }

    /// Whether it may send notifications to everybody.
    pub fn may_broadcast(&self) -> bool {
        self.broadcast
    }

    /// Whether it may do what takes the right to administer, and see what only such a peer may.
    pub fn may_administer(&self) -> bool {
        self.administer
    }

    /// The word for the right that a call of this method needs.
    fn needed_for(method: &str) -> String {
        match method.starts_with(OWN) && !LOOKS.contains(&method) {
            true => "administer".to_owned(),
            false => format!("call={method}"),
        }
    }

    fn word(self, word: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!(
                "\"{word}\" is no right; there are call=PATTERN, register=PATTERN, broadcast, administer and all"
            ))
        };
        let pattern = |pattern: &str| match pattern.is_empty() || pattern.len() > MAX_PATTERN {
            true => Err(wrong()),
            false => Ok(pattern.to_owned()),
        };
        Ok(match (word, word.split_once('=')) {
            ("broadcast", _) => self.broadcast(),
            ("administer", _) => self.administer(),
            ("all", _) => Self::all(),
            (_, Some(("call", like))) => self.call(pattern(like)?),
            (_, Some(("register", like))) => self.register(pattern(like)?),
            _ => return Err(wrong()),
        })
    }
}

impl FromStr for Rights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.split_whitespace().try_fold(Self::none(), Self::word)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.call.0.iter().map(|pattern| format!("call={pattern}")));
        words.extend(self.register.0.iter().map(|pattern| format!("register={pattern}")));
        words.extend(self.broadcast.then(|| "broadcast".to_owned()));
        words.extend(self.administer.then(|| "administer".to_owned()));
        f.write_str(&words.join(" "))
    }
}

/// What a peer may do, and for whom it is told when it may not.
#[derive(Debug, Clone)]
pub(crate) struct Standing<'a> {
    pub(crate) rights: &'a Rights,
    pub(crate) token: Option<&'a str>,
}

impl Standing<'_> {
    pub(crate) fn call(&self, method: &str) -> Result<(), Error> {
        match self.rights.may_call(method) {
            true => Ok(()),
            false => Err(self.refusal(&format!("call {method}"), &Rights::needed_for(method))),
        }
    }

    pub(crate) fn register(&self, name: &str) -> Result<(), Error> {
        match self.rights.may_register(name) {
            true => Ok(()),
            false => Err(self.refusal(&format!("register {name}"), &format!("register={name}"))),
        }
    }

    pub(crate) fn broadcast(&self) -> Result<(), Error> {
        match self.rights.may_broadcast() {
            true => Ok(()),
            false => Err(self.refusal("send notifications to everybody", "broadcast")),
        }
    }

    fn refusal(&self, what: &str, right: &str) -> Error {
        let message = match self.token {
            Some(token) => {
                format!(
                    "the token \"{token}\" does not allow to {what}; it lacks the right {right}"
                )
            }
            None => format!(
                "a peer without a token may not {what} here; that takes a token with the right {right}"
            ),
        };
        Error::new(ErrorCode::PermissionDenied, message).with_executed(Executed::No)
    }
}

/// Names with `*` for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns(Vec<String>);

impl Patterns {
    fn fit(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern == "*" || fits(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Whether a name is like a pattern. Goes back to the last star only, so it takes no more steps than both lengths multiplied.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(byte) if *byte == name[here] => {
                at += 1;
                here += 1;
            }
            _ => {
                let Some((starred, from)) = star else { return false };
                star = Some((starred, from + 1));
                at = starred + 1;
                here = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, fit) in [
            ("math.*", "math.add", true),
            ("math.*", "math.", true),
            ("math.*", "math", false),
            ("math.*", "xmath.add", false),
            ("*", "", true),
            ("*.add", "math.add", true),
            ("*.add", "math.add.more", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("add", "add", true),
            ("add", "added", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fit, "{pattern} {name}");
        }
        let stars = "*a".repeat(100);
        assert!(!fits(stars.as_bytes(), "a".repeat(255).replace("aaa", "aab").as_bytes()));
    }

    #[test]
    fn whoever_may_serve_a_service_may_serve_its_methods_and_no_others() {
        let rights = Rights::none().register("math");
        assert!(rights.may_register("math") && rights.may_register("math.add"));
        assert!(rights.may_register("math.linear.solve"));
        assert!(!rights.may_register("bank.pay") && !rights.may_register("mathematics"));
        assert!(!rights.may_register("") && Rights::user().may_register("anything.at.all"));
    }

    #[test]
    fn what_is_the_engines_own_needs_more_than_a_star() {
        let user = Rights::user();
        assert!(user.may_call("procall.engine.peers"));
        assert!(!user.may_call("procall.engine.cancel") && !user.may_call("procall.engine.later"));
        assert!(Rights::none().administer().may_call("procall.engine.events"));
        assert!(!Rights::none().call("math.*").may_call("procall.engine.events"));
    }

    #[test]
    fn words_make_rights_and_rights_make_words() {
        let text = "call=math.* register=model broadcast administer";
        assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        assert_eq!("all".parse::<Rights>().unwrap(), Rights::all());
        assert_eq!("".parse::<Rights>().unwrap(), Rights::none());
        for wrong in ["call", "call=", "cal=x", "admin", "*"] {
            let error = wrong.parse::<Rights>().unwrap_err();
            assert!(error.message().contains("call=PATTERN"), "{error}");
        }
    }
}
