//! The last lines of one worker.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Outlet, OutputLine};

/// Bytes kept a worker; the oldest lines make room.
pub(crate) const MAX_BYTES: usize = 10 << 20;
/// What a line costs besides its text.
const OVERHEAD: usize = 96;

/// The last lines of one worker, across its restarts.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: VecDeque<Arc<OutputLine>>,
    bytes: usize,
    /// Lines that were let go, for people to know that there were more.
    dropped: u64,
}

impl Ring {
    pub(crate) fn push(&mut self, line: Arc<OutputLine>) {
        self.bytes += line.text.len() + OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + OVERHEAD;
            self.dropped += 1;
        }
    }

    /// The last `count` lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<OutputLine> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).map(|line| OutputLine::clone(line)).collect()
    }

    /// A place behind the last line, for [`since`](Self::since).
    pub(crate) fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    /// What a process wrote to standard error after that place, oldest first.
    pub(crate) fn since(&self, place: u64, pid: u32) -> impl Iterator<Item = &str> {
        let skip = usize::try_from(place.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let own = move |line: &&Arc<OutputLine>| line.pid == pid && line.outlet == Outlet::Stderr;
        self.lines.iter().skip(skip).filter(own).map(|line| &*line.text)
    }

    /// The last words of a process: what it wrote to standard error, else to standard output.
    pub(crate) fn last_words(&self, pid: u32, count: usize) -> String {
        let of = |outlet| {
            let mut lines: Vec<&str> = self
                .lines
                .iter()
                .rev()
                .filter(|line| line.pid == pid && line.outlet == outlet)
                .take(count)
                .map(|line| &*line.text)
                .collect();
            lines.reverse();
            lines.join("\n")
        };
        let stderr = of(Outlet::Stderr);
        if stderr.is_empty() { of(Outlet::Stdout) } else { stderr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: u32, outlet: Outlet, text: &str) -> Arc<OutputLine> {
        Arc::new(OutputLine {
            worker: "calc/1".into(),
            pid,
            outlet,
            text: text.to_owned(),
            unfinished: false,
            call: None,
            method: None,
            engine_call: None,
        })
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let mut ring = Ring::default();
        let text = "x".repeat(1000);
        for _ in 0..20_000 {
            ring.push(line(1, Outlet::Stdout, &text));
        }
        assert!(ring.bytes <= MAX_BYTES);
        assert_eq!(ring.dropped as usize + ring.lines.len(), 20_000);
        assert_eq!(ring.last(3).len(), 3);
    }

    #[test]
    fn lines_after_a_place_are_of_one_process_and_its_errors() {
        let mut ring = Ring::default();
        ring.push(line(1, Outlet::Stderr, "before"));
        let place = ring.end();
        for (pid, outlet, text) in [
            (1, Outlet::Stderr, "a"),
            (1, Outlet::Stdout, "answer"),
            (2, Outlet::Stderr, "another"),
            (1, Outlet::Stderr, "b"),
        ] {
            ring.push(line(pid, outlet, text));
        }
        assert_eq!(ring.since(place, 1).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(ring.since(ring.end(), 1).count(), 0);
        let flood = "x".repeat(MAX_BYTES / 2);
        (0..3).for_each(|_| ring.push(line(1, Outlet::Stderr, &flood)));
        assert_eq!(ring.since(place, 1).count(), 1, "those that were let go are not there");
    }

    #[test]
    fn last_words_are_of_one_process_and_rather_its_errors() {
        let mut ring = Ring::default();
        ring.push(line(1, Outlet::Stderr, "of the one before"));
        ring.push(line(2, Outlet::Stdout, "hello"));
        assert_eq!(ring.last_words(2, 20), "hello");
        ring.push(line(2, Outlet::Stderr, "a"));
        ring.push(line(2, Outlet::Stderr, "b"));
        ring.push(line(2, Outlet::Stderr, "c"));
        assert_eq!(ring.last_words(2, 2), "b\nc");
    }
}
