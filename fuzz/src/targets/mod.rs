//! The targets, each with the promise that it holds Procall to.

mod bodies;
mod config;
mod engine;
mod link;
mod messages;
mod schema;
mod session;

/// A function of bytes that nobody chose, and its name.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called in commands and file names.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
///
/// ```
/// for target in procall_fuzz::TARGETS {
///     (target.run)(b"nobody chose this");
/// }
/// ```
pub const TARGETS: &[Target] = &[
    Target { name: "link", run: link::run },
    Target { name: "message", run: messages::native },
    Target { name: "json", run: messages::json },
    Target { name: "session", run: session::run },
    Target { name: "body", run: bodies::msgpack },
    Target { name: "json_body", run: bodies::json },
    Target { name: "buffer", run: bodies::buffer },
    Target { name: "schema", run: schema::run },
    Target { name: "config", run: config::run },
    Target { name: "engine", run: engine::run },
];
