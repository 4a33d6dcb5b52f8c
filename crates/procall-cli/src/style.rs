//! How output looks: colours on a terminal, none elsewhere.

use std::io::{IsTerminal, Write};

use crate::plain;

/// Where output goes and how much of it there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// One documented object instead of a table.
    pub(crate) json: bool,
    /// Only results and errors.
    pub(crate) quiet: bool,
    /// More of everything.
    pub(crate) verbose: bool,
    /// Standard output, and standard error.
    pub(crate) out: Paint,
    pub(crate) err: Paint,
}

/// What one output can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) colour: bool,
    pub(crate) terminal: bool,
}

/// Colours that stay apart for people who do not tell red from green.
const WORKERS: [u8; 6] = [36, 33, 35, 34, 32, 31];

impl Style {
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let paint = |terminal: bool| Paint { terminal, colour: terminal && !plain };
        let out = paint(std::io::stdout().is_terminal());
        let err = paint(std::io::stderr().is_terminal());
        Self { json, quiet, verbose, out, err }
    }

    /// Says something that is no result, on standard error.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }

    /// The same, as a hint of what to do next.
    pub(crate) fn hint(&self, text: &str) {
        self.say(&self.err.dim(&plain::line(text)));
    }

    /// How many columns the terminal has; `None` when the output is not cut.
    pub(crate) fn columns(&self) -> Option<usize> {
        if self.out.terminal { columns(std::io::stdout()) } else { None }
    }

    /// The same of standard error.
    pub(crate) fn err_columns(&self) -> Option<usize> {
        if self.err.terminal { columns(std::io::stderr()) } else { None }
    }
}

fn columns(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// A colour of its own for each of some workers.
    pub(crate) fn worker(self, number: usize, text: &str) -> String {
        self.with(&WORKERS[number % WORKERS.len()].to_string(), text)
    }
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    // With nobody to read it there is nobody to tell either.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
