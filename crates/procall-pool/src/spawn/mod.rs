//! Starting worker processes.

mod activity;
mod advice;
mod child;
mod dial;
mod exit;
mod interpreter;
mod lifeline;
mod memory;
mod program;
mod search;
mod sheltered;
mod stack;
mod ways;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use procall::{Error, ErrorCode};

use procall::transport::shm::Choice;

use crate::transport::Transport;

pub(crate) use activity::Activity;
pub(crate) use advice::advice;
pub(crate) use child::{Child, spawn};
pub(crate) use dial::{Dial, Token};
pub use exit::Exit;
pub(crate) use memory::{MemoryGroup, resident_memory};
pub(crate) use program::{Wanted, launch};
pub(crate) use stack::ask_for_stack;
pub(crate) use ways::{Way, Ways};

/// What to run, once all of it has been found. Always argv, never a shell.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) transport: Option<OwnTransport>,
    /// How the inherited channel is to go on.
    pub(crate) choice: Option<Choice>,
}

/// A transport of the user's.
#[derive(Clone)]
pub(crate) struct OwnTransport(pub(crate) Arc<dyn Transport>);

impl std::fmt::Debug for OwnTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Launch {
    /// Has Node say where it is when it is interrupted, even in the middle of a loop. Other programs do not look at this.
    pub(crate) fn trace_interrupts(&mut self) {
        const NAME: &str = "NODE_OPTIONS";
        const FLAG: &str = "--trace-sigint";
        let mut options = search::variable(NAME, &self.env).unwrap_or_default();
        if !options.is_empty() {
            options.push(" ");
        }
        options.push(FLAG);
        self.env.retain(|(name, _)| name != NAME);
        self.env.push((NAME.into(), options));
    }

    /// The command as one would type it.
    pub(crate) fn words(&self) -> String {
        let mut words = vec![quoted(&self.program.to_string_lossy())];
        words.extend(self.args.iter().map(|arg| quoted(&arg.to_string_lossy())));
        words.join(" ")
    }

    pub(crate) fn failed(&self, why: &str) -> Error {
        Error::new(
            ErrorCode::SpawnFailed,
            format!("`{}` could not be started: {why}", self.words()),
        )
    }

    /// What the kernel's refusal means here.
    fn not_started(&self, error: std::io::Error) -> Error {
        use rustix::io::Errno;
        let program = self.program.display();
        let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) if self.cwd.as_ref().is_some_and(|cwd| !cwd.is_dir()) => {
                "its working directory does not exist".to_owned()
            }
            Some(Errno::NOENT) => {
                format!("{program} or the interpreter in its first line does not exist")
            }
            Some(Errno::ACCESS) => format!("{program} may not be executed; try chmod +x"),
            Some(Errno::NOEXEC) => {
                format!(
                    "{program} is no program; a script needs a first line such as #!/usr/bin/env python3"
                )
            }
            Some(Errno::TOOBIG) => "its arguments and environment are too long".to_owned(),
            _ => error.to_string(),
        };
        self.failed(&why).with_source(error)
    }
}

fn quoted(word: &str) -> String {
    let plain =
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
