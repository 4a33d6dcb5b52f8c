//! The way of a link from its socket into shared memory, and how it goes on there.
//!
//! ```text
//! the side that leads                        the other
//!                                       ←    ask
//!         offer, with memory and bell   →
//!                                       ←    answer, with memory and bell
//!         switch                        →    reads our memory from here on
//!  reads their memory from here on      ←    switch
//! ```
//!
//! Whoever asks is ready for descriptors from then on; until then a link is read as any other. Messages go on meanwhile; either side may decline in the place of its offer, answer or switch, and both then stay with the socket.
//!
//! Afterwards the socket only carries notices of memory for large arrays, and its end.

mod arrays;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::bell::Bell;
use super::ends::{Ends, Half};
use super::lender::Lender;
use super::loan::Borrower;
use super::records::{self, DESCRIPTORS, Kind, Received, Record};
use super::region::{Refused, Theirs};
use super::{CAPACITY, Look, Progress};
use crate::LinkError;
use crate::stream::StreamLink;

const OUT_OF_TURN: &str = "a word out of turn on the way there";

/// Bytes read at once while descriptors may come with them.
const GULP: usize = 16 << 10;

/// A record that is to be sent.
#[derive(Debug)]
struct Pending {
    record: Record,
    /// Bytes of messages that go before it.
    before: usize,
    /// What goes with it.
    descriptors: Vec<OwnedFd>,
}

#[derive(Debug)]
enum Stage {
    /// The other side's next word is awaited: of the side that leads what it made is in here.
    Underway { half: Option<Half> },
    /// Both have each other's memory.
    Joined(Box<Ends>),
    /// The socket stays, since this side has not what it takes.
    Failed(String),
    /// The socket stays: the other side has declined.
    Declined,
}

/// What this side does with an ask after its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crossing {
    /// There is none, or no other.
    Wrong,
    /// The initiator of the session has asked as well, and is to have its way.
    Ignored,
    /// The other side goes first: this one leads.
    Followed,
}

/// A link on its way into shared memory, or there.
#[derive(Debug)]
pub(crate) struct Passage {
    leads: bool,
    /// What becomes of an ask that crossed ours.
    crossing: Crossing,
    stage: Stage,
    pending: VecDeque<Pending>,
    /// Descriptors that have come, and whose record has not.
    arrived: Vec<OwnedFd>,
    /// Some of them found no room in this process.
    missing: bool,
    /// What we send goes through memory.
    sends: bool,
    /// What we receive comes through memory.
    receives: bool,
    /// The owner calls `rest` before it waits.
    attended: bool,
    /// The owner hears the bell itself, and tells when the socket has news.
    heard: bool,
    /// Something was taken since the last rest.
    moved: bool,
    /// The socket has something to say.
    told: bool,
    /// The other side has gone: what it sent is still in memory.
    ended: bool,
    /// The other side knows of arenas.
    lends: bool,
    lender: Lender,
    borrower: Borrower,
    /// Bytes of a notice that has not come to its end.
    notice: Vec<u8>,
}

impl Passage {
    pub(crate) fn new(leads: bool, attended: bool, stream: &StreamLink) -> Self {
        let mut passage = Self {
            leads,
            crossing: Crossing::Wrong,
            stage: Stage::Underway { half: None },
            pending: VecDeque::new(),
            arrived: Vec::new(),
            missing: false,
            sends: false,
            receives: false,
            attended,
            heard: false,
            moved: false,
            told: false,
            ended: false,
            lends: false,
            lender: Lender::new(),
            borrower: Borrower::new(),
            notice: Vec::new(),
        };
        if leads {
            passage.lead(stream);
        }
        passage
    }

    /// One that asks the other side to lead.
    pub(crate) fn asking(initiator: bool, attended: bool, stream: &StreamLink) -> Self {
        let mut passage = Self::new(false, attended, stream);
        passage.crossing = if initiator { Crossing::Ignored } else { Crossing::Followed };
        passage.queue(Kind::Ask, Vec::new(), stream);
        passage
    }

    /// Makes the other side an offer.
    fn lead(&mut self, stream: &StreamLink) {
        self.leads = true;
        match Half::new() {
            Ok((half, descriptors)) => {
                self.stage = Stage::Underway { half: Some(half) };
                self.queue(Kind::Offer, descriptors.into(), stream);
            }
            Err(error) => self.decline(&error, stream),
        }
    }

    /// Whether it stays with the socket, and has nothing to say about that any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Failed(_) | Stage::Declined) && self.pending.is_empty()
    }

    pub(crate) fn progress(&self) -> Progress {
        match &self.stage {
            Stage::Failed(why) => Progress::Failed(why.clone()),
            Stage::Declined => Progress::Declined,
            Stage::Joined(_) if self.sends && self.receives => Progress::Done,
            Stage::Joined(_) | Stage::Underway { .. } => Progress::Underway,
        }
    }

    pub(crate) fn attended(&mut self, attended: bool) {
        self.attended = attended;
    }

    /// What rings for this side, once there is one.
    pub(crate) fn bell(&self) -> Option<Arc<OwnedFd>> {
        self.ends().map(|ends| ends.hears().share())
    }

    /// The owner hears the bell and the socket by their edges, so that nothing has to be made quiet.
    pub(crate) fn heard(&mut self, stream: &StreamLink) -> io::Result<()> {
        if let Stage::Joined(ends) = &self.stage
            && !std::mem::replace(&mut self.heard, true)
        {
            stream.readiness.forget_bell(ends.hears().as_fd())?;
        }
        Ok(())
    }

    /// The socket has news: its end, if the other side keeps the rules.
    pub(crate) fn tell(&mut self) {
        self.told = true;
    }

    pub(crate) fn look(&self) -> Option<Look> {
        self.ends().filter(|_| self.receives).map(Ends::look)
    }

    pub(crate) fn close(&self) {
        self.lender.end();
        if let Some(ends) = self.ends() {
            ends.close();
        }
    }

    /// The owner is awake and will look again by itself: the other side need not ring.
    pub(crate) fn attend(&mut self) {
        if self.receives
            && let Stage::Joined(ends) = &mut self.stage
        {
            ends.wake();
        }
    }

    /// The owner is about to wait. True: nothing is there, and readiness fires when something comes. False: look again first.
    pub(crate) fn rest(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        let moved = std::mem::take(&mut self.moved);
        let Stage::Joined(ends) = &mut self.stage else { return Ok(true) };
        // Nothing has come since the last rest, so whatever rang is to be quiet again, or it was the socket.
        if !moved {
            self.told |= quieten(stream, self.heard)?;
            ends.renew();
            if ends.has_room_it_wants()? {
                ends.hears().ring();
            }
        }
        if !self.receives {
            return Ok(true);
        }
        if !ends.sleep()? {
            return Ok(false);
        }
        if std::mem::take(&mut self.told) {
            self.look_at_socket(stream)?;
        }
        Ok(!self.ended)
    }

    /// The same without making anything quiet.
    pub(crate) fn retire(&mut self) -> Result<bool, LinkError> {
        self.moved = false;
        match &mut self.stage {
            Stage::Joined(ends) if self.receives => ends.sleep(),
            _ => Ok(true),
        }
    }

    // ---- sending

    pub(crate) fn flush(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        stream.check_sending()?;
        let result = match self.send(stream) {
            // Room that came before it was watched for is told to nobody; see `StreamLink::flush`.
            Ok(false) if !self.sends => self.send(stream),
            result => result,
        };
        result.map_err(|error| stream.fall_silent(error))
    }

    fn send(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        while !self.sends {
            let all = stream.outbox.unsent().len();
            let now = self.pending.front().map_or(all, |pending| pending.before);
            if now > 0 {
                let sent = stream.send(now)?;
                stream.outbox.sent(sent);
                for pending in &mut self.pending {
                    pending.before -= sent;
                }
                if sent < now {
                    stream.watch_for_room(true)?;
                    return Ok(false);
                }
            }
            let Some(pending) = self.pending.front() else {
                stream.watch_for_room(false)?;
                return Ok(true);
            };
            let (kind, descriptors) = (pending.record.kind, &pending.descriptors);
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            match records::send(stream.socket(), pending.record, &descriptors) {
                Ok(true) => {}
                Ok(false) => {
                    stream.watch_for_room(true)?;
                    return Ok(false);
                }
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(error) => return Err(LinkError::Io(error.into())),
            }
            self.pending.pop_front();
            if kind == Kind::Switch {
                stream.watch_for_room(false)?;
                self.sends = true;
                self.arrive(stream);
            }
        }
        self.put(stream)
    }

    /// Puts into memory what there is room for.
    fn put(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        let Stage::Joined(ends) = &mut self.stage else { return Ok(true) };
        if self.ended || ends.is_closed() {
            return Err(LinkError::Closed);
        }
        // The bell may be up for room that was found, or looked for in vain.
        let mut stale = ends.wants_room();
        let mut quieted = false;
        let done = loop {
            let unsent = stream.outbox.unsent();
            let sent = if unsent.is_empty() { 0 } else { ends.put(unsent)? };
            stream.outbox.sent(sent);
            let done = stream.outbox.unsent().is_empty();
            if done || sent > 0 {
                // Each room that was found ends the asking.
                stale |= ends.found_room();
            }
            if sent > 0 && !done {
                continue;
            }
            if !done && ends.want_room()? {
                // It came meanwhile, and its bell may still be on the way.
                stale = true;
                continue;
            }
            if stale {
                self.told |= quieten(stream, self.heard)?;
                ends.renew();
                (stale, quieted) = (false, true);
                if !done {
                    continue;
                }
            }
            break done;
        };
        // The bell may have been for what has arrived as well.
        if quieted && self.receives && ends.has_arrived()? {
            ends.hears().ring();
        }
        // A full ring of somebody who has gone is never emptied.
        if !done && records::has_ended(stream.socket()) {
            return Err(LinkError::Closed);
        }
        Ok(done)
    }

    // ---- receiving

    pub(crate) fn receive<'a>(
        &mut self,
        stream: &'a mut StreamLink,
    ) -> Result<Option<&'a [u8]>, LinkError> {
        if let Some(dead) = &stream.dead {
            return Err(dead.again());
        }
        match self.next(stream) {
            Ok(Some(at)) => Ok(Some(stream.inbox.message(at))),
            Ok(None) => Ok(None),
            Err(error) => {
                self.close();
                Err(stream.die(error))
            }
        }
    }

    fn next(
        &mut self,
        stream: &mut StreamLink,
    ) -> Result<Option<std::ops::Range<usize>>, LinkError> {
        loop {
            match stream.inbox.take() {
                Ok(Some(at)) => {
                    self.borrower.arrived();
                    return Ok(Some(at));
                }
                Ok(None) => {}
                Err(LinkError::Empty) if self.receives && self.lends => {
                    if let Some(loan) = stream.inbox.take_record() {
                        self.borrow(loan, stream)?;
                        continue;
                    }
                }
                Err(LinkError::Empty) if self.takes_records() => {
                    if let Some(record) = stream.inbox.take_record() {
                        self.handle(record, stream)?;
                        continue;
                    }
                }
                Err(error) => return Err(error),
            }
            let more = match self.receives {
                true => self.take(stream)?,
                false => self.read(stream)?,
            };
            if !more {
                return Ok(None);
            }
        }
    }

    /// Takes what lies in memory; false when the owner may wait.
    fn take(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        loop {
            let Stage::Joined(ends) = &mut self.stage else { return Ok(false) };
            if ends.take(stream.inbox.spare())? > 0 {
                self.moved = true;
                // Somebody who waited was rung, unless it knew so and attends.
                if ends.wake() {
                    self.told |= quieten(stream, self.heard)?;
                    ends.renew();
                    let mut unheard = ends.has_room_it_wants()?;
                    // Whoever may wait at any moment is to be rung for each message.
                    unheard |= !self.attended && !ends.sleep()?;
                    if unheard {
                        ends.hears().ring();
                    }
                }
                return Ok(true);
            }
            if self.ended {
                return Err(end_of(stream));
            }
            if self.attended || self.rest(stream)? {
                return Ok(false);
            }
        }
    }

    /// One read of the socket; false when nothing is there.
    fn read(&mut self, stream: &mut StreamLink) -> Result<bool, LinkError> {
        if !self.takes_records() {
            return match stream.read()? {
                Some(0) => Err(end_of(stream)),
                read => Ok(read.is_some()),
            };
        }
        let mut gulp = [0_u8; GULP];
        let spare = stream.inbox.spare();
        let room = GULP.min(spare.capacity() - spare.len());
        match records::receive(stream.socket.as_fd(), &mut gulp[..room], &mut self.arrived) {
            Ok(Received { bytes: 0, .. }) | Err(Errno::CONNRESET | Errno::PIPE) => {
                Err(end_of(stream))
            }
            Ok(Received { bytes, missing }) => {
                stream.inbox.spare().extend_from_slice(&gulp[..bytes]);
                self.missing |= missing;
                if self.arrived.len() > DESCRIPTORS {
                    return Err(LinkError::SharedMemory(
                        "more descriptors than belong to an offer",
                    ));
                }
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(LinkError::Io(error.into())),
        }
    }

    // ---- the way in

    fn ends(&self) -> Option<&Ends> {
        match &self.stage {
            Stage::Joined(ends) => Some(ends),
            Stage::Underway { .. } | Stage::Failed(_) | Stage::Declined => None,
        }
    }

    /// Whether the other side may still send a record.
    fn takes_records(&self) -> bool {
        !self.receives && !matches!(self.stage, Stage::Failed(_) | Stage::Declined)
    }

    fn queue(&mut self, kind: Kind, descriptors: Vec<OwnedFd>, stream: &StreamLink) {
        let record = Record { kind, capacity: CAPACITY };
        let before = stream.outbox.unsent().len();
        self.pending.push_back(Pending { record, before, descriptors });
    }

    fn decline(&mut self, error: &io::Error, stream: &StreamLink) {
        self.stage = Stage::Failed(format!("this side has no memory for it: {error}"));
        self.queue(Kind::Decline, Vec::new(), stream);
    }

    /// Both directions may go through memory by now.
    fn arrive(&self, stream: &mut StreamLink) {
        if self.sends && self.receives {
            stream.info.transport = "shm";
        }
    }

    fn handle(
        &mut self,
        record: [u8; records::LEN],
        stream: &mut StreamLink,
    ) -> Result<(), LinkError> {
        let Some(record) = Record::decode(record) else { return Err(LinkError::Empty) };
        // What was read with an ask may belong to the offer behind it.
        let descriptors = match record.kind {
            Kind::Ask => Vec::new(),
            _ => std::mem::take(&mut self.arrived),
        };
        let stage = std::mem::replace(&mut self.stage, Stage::Failed(String::new()));
        match (record.kind, stage, self.leads) {
            (Kind::Offer, Stage::Underway { half: None }, false) => match Half::new() {
                Ok((half, ours)) => {
                    self.join(half, record, descriptors, stream)?;
                    self.queue_if_joined(Kind::Answer, ours.into(), stream);
                }
                Err(error) => self.decline(&error, stream),
            },
            (Kind::Answer, Stage::Underway { half: Some(half) }, true) => {
                self.join(half, record, descriptors, stream)?;
                self.queue_if_joined(Kind::Switch, Vec::new(), stream);
            }
            (Kind::Decline, stage @ Stage::Underway { .. }, _)
            | (Kind::Decline, stage @ Stage::Joined(_), false) => {
                if let Stage::Joined(ends) = stage
                    && !self.heard
                {
                    stream.readiness.forget_bell(ends.hears().as_fd())?;
                }
                self.pending.clear();
                self.stage = Stage::Declined;
            }
            (Kind::Ask, stage @ Stage::Underway { half: None }, false) => {
                self.stage = stage;
                match std::mem::replace(&mut self.crossing, Crossing::Wrong) {
                    Crossing::Wrong => return Err(LinkError::SharedMemory(OUT_OF_TURN)),
                    Crossing::Ignored => {}
                    Crossing::Followed => self.lead(stream),
                }
            }
            (Kind::Switch, stage @ Stage::Joined(_), leads) => {
                self.stage = stage;
                self.receives = true;
                if !leads {
                    self.queue(Kind::Switch, Vec::new(), stream);
                }
                self.arrive(stream);
                // The other side's first notices may have come with it.
                self.arrived = descriptors;
                self.notice = stream.inbox.take_rest();
                self.take_notices()?;
            }
            _ => return Err(LinkError::SharedMemory(OUT_OF_TURN)),
        }
        Ok(())
    }

    /// The other side's memory has come. Afterwards both are joined, or this side has declined.
    fn join(
        &mut self,
        half: Half,
        record: Record,
        descriptors: Vec<OwnedFd>,
        stream: &mut StreamLink,
    ) -> Result<(), LinkError> {
        let Ok([memory, bell]) = <[OwnedFd; DESCRIPTORS]>::try_from(descriptors) else {
            if self.missing {
                self.decline(&Errno::MFILE.into(), stream);
                return Ok(());
            }
            return Err(LinkError::SharedMemory("an offer without its two descriptors"));
        };
        let theirs = match Theirs::new(memory.as_fd(), record.capacity) {
            Ok(theirs) => theirs,
            Err(Refused::Wrong(why)) => return Err(LinkError::SharedMemory(why)),
            Err(Refused::Scarce(error)) => {
                self.decline(&error, stream);
                return Ok(());
            }
        };
        let Some(bell) = Bell::received(bell, half.bell())? else {
            return Err(LinkError::SharedMemory("a descriptor that is no eventfd"));
        };
        stream.readiness.watch_bell(bell.as_fd())?;
        self.stage = Stage::Joined(Box::new(half.join(theirs, bell)));
        Ok(())
    }

    fn queue_if_joined(&mut self, kind: Kind, descriptors: Vec<OwnedFd>, stream: &StreamLink) {
        if matches!(self.stage, Stage::Joined(_)) {
            self.queue(kind, descriptors, stream);
        }
    }
}

/// Makes a bell quiet that is told until then, unless its owner hears it by edges; whether the socket has something to read.
fn quieten(stream: &StreamLink, heard: bool) -> io::Result<bool> {
    if heard { Ok(false) } else { stream.readiness.quieten() }
}

fn end_of(stream: &StreamLink) -> LinkError {
    if stream.inbox.is_partial() { LinkError::Truncated } else { LinkError::Closed }
}
