//! Whose lines a worker prints.
//!
//! Bytes in a pipe bear no name, and they may be read after the call that wrote them has ended and the next one has begun. So a line is
//! attributed only when no other call can have written it since the pipe was last seen empty.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::CallId;
use procall::wire::Reader;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::SeatLease;
use crate::output::Outlet;

/// A look at the pipes takes half a microsecond. Calls that follow each other faster than this do not take it; until the pipes have been
/// read, what they print may be anybody's.
const PACE: Duration = Duration::from_micros(50);

/// The metadata of a call in which an engine says what number it gave it.
const ENGINE_CALL: &str = "procall.call";

/// The call that printed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// Its number on the worker's connection.
    pub(crate) id: CallId,
    pub(crate) method: Arc<str>,
    /// Its number at the engine that it came through.
    pub(crate) engine_call: Option<u64>,
}

/// The pipes of a worker; those that it has closed are missing.
pub(crate) type Outlets = [Option<Arc<OwnedFd>>; 2];

/// Who can have written what is in a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspects {
    Nobody,
    /// The last call that began alone, and no other.
    One,
    Several,
}

/// Which calls a worker's pipes can hold lines of.
#[derive(Debug)]
pub(super) struct Speaker {
    outlets: Outlets,
    suspects: [Suspects; 2],
    /// Calls that have begun here.
    begun: u64,
    /// The last of them that began while no other was running: its number and method.
    alone: u64,
    method: Arc<str>,
    engine_call: Option<u64>,
    at: Option<Instant>,
}

/// What had begun and was running when a pipe was about to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(super) begun: u64,
    pub(super) in_flight: u32,
}

impl Speaker {
    pub(super) fn new(outlets: Outlets) -> Self {
        let suspects = [Suspects::Nobody; 2];
        let method = "".into();
        Self { outlets, suspects, begun: 0, alone: 0, method, engine_call: None, at: None }
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// A call with this metadata begins, while so many others are running.
    pub(super) fn begin(&mut self, method: &str, meta: &[u8], others: u32) {
        self.begun += 1;
        if others > 0 {
            self.suspects = [Suspects::Several; 2];
            return;
        }
        self.alone = self.begun;
        if *self.method != *method {
            self.method = method.into();
        }
        self.engine_call = engine_call(meta);
        let now = Instant::now();
        let before = self.at.replace(now);
        let looks = before.is_none_or(|before| now.duration_since(before) >= PACE);
        for at in 0..self.outlets.len() {
            let own = match self.suspects[at] {
                Suspects::Nobody => true,
                Suspects::One | Suspects::Several => {
                    looks && self.outlets[at].as_deref().is_none_or(is_empty)
                }
            };
            self.suspects[at] = if own { Suspects::One } else { Suspects::Several };
        }
    }

    /// A pipe was read, and emptied or not: whose the bytes are.
    pub(super) fn author(
        &mut self,
        outlet: Outlet,
        before: Before,
        emptied: bool,
        lease: &SeatLease,
    ) -> Option<Author> {
        // Whoever has begun since may have written some of it.
        if before.begun != self.begun {
            return None;
        }
        let suspects = &mut self.suspects[outlet as usize];
        let author = match suspects {
            Suspects::One => lease.alone().map(|id| {
                let (method, engine_call) = (self.method.clone(), self.engine_call);
                Author { id, method, engine_call }
            }),
            Suspects::Nobody | Suspects::Several => None,
        };
        if emptied {
            *suspects = match before.in_flight {
                0 => Suspects::Nobody,
                _ if self.alone == self.begun => Suspects::One,
                _ => Suspects::Several,
            };
        }
        author
    }
}

/// The number that an engine gave a call.
fn engine_call(meta: &[u8]) -> Option<u64> {
    if meta.is_empty() {
        return None;
    }
    let mut reader = Reader::new(meta);
    for _ in 0..reader.map().ok()? {
        let name = reader.text("a name").ok()?;
        let value = reader.skip_any().ok()?;
        if name == ENGINE_CALL {
            return Reader::new(value).uint("a number").ok();
        }
    }
    None
}

fn is_empty(pipe: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    // If it cannot be told, it is not known to be empty.
    matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
        || !polled[0].revents().contains(PollFlags::IN)
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::atomic::Ordering;

    use super::*;

    /// A worker with one pipe, and the calls that it gets.
    struct Scene {
        speaker: Speaker,
        lease: Arc<SeatLease>,
        ours: Arc<OwnedFd>,
        theirs: OwnedFd,
        in_flight: u32,
    }

    impl Scene {
        fn new() -> Self {
            let (ours, theirs) = rustix::pipe::pipe().unwrap();
            let ours = Arc::new(ours);
            let speaker = Speaker::new([Some(ours.clone()), None]);
            let lease = SeatLease::detached(Weak::new());
            Self { speaker, lease, ours, theirs, in_flight: 0 }
        }

        /// A call whose number on the connection is ten times its place, and which comes when a look at the pipes is worth it, or not.
        fn begin(&mut self, slowly: bool) {
            if slowly {
                self.speaker.at = None;
            } else {
                // As if the one before had begun just now.
                self.speaker.at = Some(Instant::now() + PACE);
            }
            self.speaker.begin("say", &[], self.in_flight);
            if self.in_flight == 0 {
                self.lease.number().store(self.speaker.begun * 10, Ordering::Release);
            }
            self.in_flight += 1;
        }

        fn end(&mut self) {
            self.in_flight -= 1;
        }

        fn print(&self) {
            rustix::io::write(&self.theirs, b"a line\n").unwrap();
        }

        fn before(&self) -> Before {
            Before { begun: self.speaker.begun(), in_flight: self.in_flight }
        }

        /// Reads the pipe, and whose the line is.
        fn read(&mut self) -> Option<CallId> {
            let before = self.before();
            rustix::io::read(&self.ours, &mut [0; 100]).unwrap();
            self.author(before)
        }

        fn author(&mut self, before: Before) -> Option<CallId> {
            let author = self.speaker.author(Outlet::Stdout, before, true, &self.lease);
            author.map(|Author { id, method, .. }| {
                assert_eq!(&*method, "say");
                id
            })
        }
    }

    #[test]
    fn a_line_is_that_of_the_call_that_ran_or_was_the_last_to_run() {
        let mut scene = Scene::new();
        scene.begin(true);
        scene.print();
        assert_eq!(scene.read(), Some(10));
        scene.print();
        scene.end();
        assert_eq!(scene.read(), Some(10), "it has ended before it was read");
        scene.print();
        assert_eq!(scene.read(), None, "nothing was running since");
        scene.begin(false);
        scene.print();
        assert_eq!(scene.read(), Some(20), "the pipe was known to be empty");
    }

    #[test]
    fn a_line_that_was_not_read_is_not_that_of_the_next_call() {
        for slowly in [true, false] {
            let mut scene = Scene::new();
            scene.begin(true);
            scene.print();
            scene.end();
            scene.begin(slowly);
            assert_eq!(scene.read(), None);
            scene.print();
            assert_eq!(scene.read(), Some(20), "what it prints from now on is its own");
        }
    }

    #[test]
    fn calls_that_print_nothing_do_not_stand_in_the_way() {
        let mut scene = Scene::new();
        for _ in 0..3 {
            scene.begin(true);
            scene.end();
        }
        scene.begin(true);
        scene.print();
        assert_eq!(scene.read(), Some(40));
    }

    #[test]
    fn of_several_calls_nobody_knows_whose_a_line_is() {
        let mut scene = Scene::new();
        scene.begin(true);
        scene.begin(true);
        scene.print();
        assert_eq!(scene.read(), None);
        scene.end();
        scene.print();
        assert_eq!(scene.read(), None, "which of them is left is not known either");
        scene.end();
        scene.print();
        assert_eq!(scene.read(), None);
        scene.begin(true);
        scene.print();
        assert_eq!(scene.read(), Some(30));
    }

    #[test]
    fn a_call_that_begins_while_a_pipe_is_read_makes_it_uncertain() {
        let mut scene = Scene::new();
        scene.begin(true);
        scene.print();
        scene.end();
        let before = scene.before();
        rustix::io::read(&scene.ours, &mut [0; 100]).unwrap();
        scene.begin(true);
        assert_eq!(scene.author(before), None);
    }

    #[test]
    fn a_call_that_was_not_sent_has_no_lines() {
        let mut scene = Scene::new();
        scene.begin(true);
        scene.end();
        scene.lease.begin_alone();
        scene.speaker.begin("say", &[], 0);
        scene.in_flight = 1;
        scene.print();
        assert_eq!(scene.read(), None);
    }

    #[test]
    fn the_number_of_an_engine_is_that_of_the_call_which_printed() {
        use procall::wire::Writer;

        let mut scene = Scene::new();
        let mut meta = Vec::new();
        Writer::new(&mut meta).map(2).text("trace").uint(7).text(ENGINE_CALL).uint(4131);
        scene.speaker.begin("say", &meta, 0);
        assert_eq!(scene.speaker.engine_call, Some(4131));
        scene.speaker.at = None;
        scene.speaker.begin("say", &[], 0);
        assert_eq!(scene.speaker.engine_call, None, "the next one came without");
        assert_eq!(engine_call(&[0x93, 1, 2, 3]), None, "it is no map");
    }
}
