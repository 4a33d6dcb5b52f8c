//! Which dialect a message is in, and what it says.

use procall::json::{self, JsonError, JsonId, JsonMessage, Outline};

use crate::gateway::roadmap;

/// A message of a peer's.
#[derive(Debug)]
pub(super) enum Received {
    /// The engine dialect: one message or a batch.
    Messages(Vec<JsonMessage>),
    /// The roadmap dialect.
    Request(roadmap::Request),
    /// Neither, or not well-formed.
    Refused(Refusal),
}

/// Why a message could not be read, and what it was about.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its type, as far as it has one.
    pub(super) tag: Option<String>,
    pub(super) id: Option<JsonId>,
    /// One sentence.
    pub(super) problem: String,
}

impl Received {
    /// Reads one message of the link. `roadmap` is whether the link began in that dialect, which decides what belongs to neither.
    pub(super) fn read(bytes: &[u8], roadmap: bool) -> Self {
        let decoded = json::decode(bytes);
        if let Ok(messages) = decoded {
            if !messages.is_empty() || bytes.trim_ascii_start().starts_with(b"[") {
                return Self::Messages(messages);
            }
            return match Outline::read(bytes) {
                Ok(outline) => Self::other(&outline, None, roadmap),
                Err(error) => Self::unreadable(&error, roadmap),
            };
        }
        match (decoded, Outline::read(bytes)) {
            (Err(error), Ok(outline)) => Self::other(&outline, Some(&error), roadmap),
            (Err(error), Err(_)) | (_, Err(error)) => Self::unreadable(&error, roadmap),
            (Ok(messages), _) => Self::Messages(messages),
        }
    }

    fn unreadable(error: &JsonError, roadmap: bool) -> Self {
        let problem = format!("the message cannot be read: {error}");
        if roadmap {
            return Self::Request(roadmap::Request::unreadable(problem));
        }
        Self::Refused(Refusal { tag: None, id: None, problem })
    }

    /// An object that is no message of the engine dialect.
    fn other(outline: &Outline<'_>, error: Option<&JsonError>, roadmap: bool) -> Self {
        let tag = outline.text("type");
        let typed = outline.raw("type").is_some();
        let like_a_request = ["method", "id", "params", "meta"].iter().any(|key| outline.has(key));
        if tag.as_deref() == Some("request") || !typed && (like_a_request || roadmap) {
            return Self::Request(roadmap::Request::read(outline));
        }
        let problem = match (error, &tag) {
            (None, Some(tag)) => format!("the type {tag:?} is not known here"),
            (None, None) => "the message has no type".to_owned(),
            (Some(error), _) => format!("the message cannot be read: {error}"),
        };
        if roadmap && error.is_none() {
            return Self::Request(roadmap::Request::untyped(outline, problem));
        }
        Self::Refused(Refusal { tag, id: outline.id(), problem })
    }
}
