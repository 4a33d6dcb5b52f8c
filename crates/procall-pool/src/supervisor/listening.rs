//! What workers print, on its way to those who listen.

use std::sync::Arc;

use crate::core::Core;
use crate::dispatch::Author;
use crate::output::{Gulp, Outlet, OutputLine, Pipe};

/// Whose output is read.
pub(super) struct Listening<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) index: usize,
    pub(super) pid: u32,
}

impl Listening<'_> {
    /// Reads what a pipe has, a gulp at most, and tells the lines.
    pub(super) fn hear(&self, pipe: &mut Pipe, core: &Core, buffer: &mut Vec<u8>) -> Gulp {
        let outlet = pipe.outlet();
        let before = core.before_reading(self.index);
        let gulp = pipe.gulp(buffer);
        if let Gulp::Some { emptied } = gulp {
            let author = before.and_then(|before| core.author(self.index, outlet, before, emptied));
            pipe.cut(buffer, |text, unfinished| {
                core.line(self.index, self.line(outlet, text, unfinished, author.as_ref()));
            });
        }
        gulp
    }

    /// Tells what was begun and will not go on.
    pub(super) fn hear_the_end(&self, pipe: &mut Pipe, core: &Core) {
        let outlet = pipe.outlet();
        let before = core.before_reading(self.index);
        let author = before.and_then(|before| core.author(self.index, outlet, before, false));
        pipe.end(|text, unfinished| {
            core.line(self.index, self.line(outlet, text, unfinished, author.as_ref()));
        });
    }

    fn line(
        &self,
        outlet: Outlet,
        text: &[u8],
        unfinished: bool,
        author: Option<&Author>,
    ) -> OutputLine {
        OutputLine {
            worker: self.name.clone(),
            pid: self.pid,
            outlet,
            text: String::from_utf8_lossy(text).into_owned(),
            unfinished,
            call: author.map(|author| author.id),
            method: author.map(|author| author.method.clone()),
            engine_call: author.and_then(|author| author.engine_call),
        }
    }
}
