//! What the other side can do to a link in shared memory, by accident or on purpose.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};

use super::bell::Bell;
use super::records::{self, Kind, Record};
use super::region::{Own, Theirs};
use super::*;
use crate::readiness;

/// Generous: it only ever passes when something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A side played by hand: the one that leads.
pub(super) struct Hand {
    pub(super) socket: UnixStream,
    own: Own,
    memory: OwnedFd,
    bell: Bell,
    /// The other side's, once it has answered: its memory, and the bell that it rings.
    pub(super) theirs: Option<(Theirs, Bell)>,
}

impl Hand {
    fn new() -> (UnixLink, Self) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut link = UnixLink::from_fd(ours.into(), &LinkOptions::default()).unwrap();
        link.share(false);
        let (own, memory) = Own::new(CAPACITY).unwrap();
        let bell = Bell::new().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        (link, Self { socket: theirs, own, memory, bell, theirs: None })
    }

    /// One that has done all that was agreed on.
    pub(super) fn joined() -> (UnixLink, Self) {
        let (mut link, mut hand) = Self::new();
        hand.offer();
        assert!(link.receive().unwrap().is_none());
        assert!(link.flush().unwrap());
        hand.read_answer();
        hand.say(Kind::Switch, &[]);
        assert!(link.receive().unwrap().is_none());
        assert!(link.flush().unwrap());
        assert_eq!(link.shared(), Progress::Done);
        (link, hand)
    }

    fn say(&self, kind: Kind, descriptors: &[BorrowedFd<'_>]) {
        let record = Record { kind, capacity: CAPACITY };
        assert!(records::send(self.socket.as_fd(), record, descriptors).unwrap());
    }

    fn offer(&self) {
        self.say(Kind::Offer, &[self.memory.as_fd(), self.bell.as_fd()]);
    }

    fn read_answer(&mut self) {
        let (mut bytes, mut descriptors) = ([0; records::LEN], Vec::new());
        let read = records::receive(self.socket.as_fd(), &mut bytes, &mut descriptors).unwrap();
        assert_eq!(read.bytes, records::LEN);
        assert_eq!(Record::decode(bytes).unwrap().kind, Kind::Answer);
        let [memory, bell] = <[OwnedFd; 2]>::try_from(descriptors).unwrap();
        let bell = Bell::received(bell, &self.bell).unwrap().unwrap();
        self.theirs = Some((Theirs::new(memory.as_fd(), CAPACITY).unwrap(), bell));
    }

    /// Says that it is done with what it was lent.
    pub(super) fn release(&self, slot: usize) {
        self.own.region().release(slot);
    }

    /// Writes into the ring and claims a tail.
    pub(super) fn put(&mut self, at: u32, bytes: &[u8], tail: u32) {
        self.own.write(at, bytes);
        self.own.region().control().words()[0].store(tail, Ordering::Release);
        self.bell.ring();
    }
}

/// The link has ended, and how.
pub(super) fn end_of(link: &mut UnixLink) -> LinkError {
    loop {
        match link.receive() {
            Ok(Some(_)) => {}
            Ok(None) => {
                let ready = readiness::wait(link.readiness(), Some(PATIENCE)).unwrap();
                assert!(ready, "not over in {PATIENCE:?}: {link:?}");
            }
            Err(error) => {
                assert!(link.receive().is_err() && link.flush().is_err(), "errors are sticky");
                return error;
            }
        }
    }
}

pub(super) fn is_misuse(error: &LinkError) -> bool {
    matches!(error, LinkError::SharedMemory(_))
}

pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

#[test]
fn the_hand_can_play_by_the_rules() {
    let (mut link, mut hand) = Hand::joined();
    let bytes = framed(b"hello");
    hand.put(0, &bytes, bytes.len() as u32);
    assert!(readiness::wait(link.readiness(), Some(PATIENCE)).unwrap());
    assert_eq!(link.receive().unwrap(), Some(&b"hello"[..]));
    link.buffer(2).unwrap().unwrap().copy_from_slice(b"hi");
    link.commit();
    assert!(link.flush().unwrap());
    let mut found = Vec::new();
    hand.theirs.as_ref().unwrap().0.read(0, 6, &mut found);
    assert_eq!(found, framed(b"hi"));
}

#[test]
fn an_offer_without_its_descriptors_ends_the_link() {
    for count in [0, 1] {
        let (mut link, hand) = Hand::new();
        hand.say(Kind::Offer, &[hand.memory.as_fd(), hand.bell.as_fd()][..count]);
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{count}: {error:?}");
    }
}

/// Sends bytes with as many copies of a descriptor as one message may carry.
fn flood(socket: &UnixStream, bytes: &[u8], copies: usize, descriptor: BorrowedFd<'_>) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let descriptors = vec![descriptor; copies];
    let mut space = vec![std::mem::MaybeUninit::uninit(); 4096];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let bytes = [std::io::IoSlice::new(bytes)];
    // A link that has hung up takes no more.
    let _ = sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL);
}

/// Whether the other end of a pipe is held by nobody but us.
fn is_alone(read: &OwnedFd, write: OwnedFd) -> bool {
    drop(write);
    fcntl_setfl(read, OFlags::NONBLOCK).unwrap();
    rustix::io::read(read, &mut [0_u8; 1]) == Ok(0)
}

#[test]
fn descriptors_that_nobody_asked_for_end_the_link_and_are_closed() {
    let offer = Record { kind: Kind::Offer, capacity: CAPACITY }.encode();
    for copies in [3, 4, 200] {
        let (mut link, hand) = Hand::new();
        let (read, write) = rustix::pipe::pipe().unwrap();
        flood(&hand.socket, &offer, copies, write.as_fd());
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{copies}: {error:?}");
        drop((link, hand));
        assert!(is_alone(&read, write), "{copies} descriptors were kept");
    }
    // A few with each piece of something else.
    let (mut link, hand) = Hand::new();
    let (read, write) = rustix::pipe::pipe().unwrap();
    for byte in framed(&[7; 60]) {
        flood(&hand.socket, &[byte], 2, write.as_fd());
    }
    assert!(is_misuse(&end_of(&mut link)));
    drop((link, hand));
    assert!(is_alone(&read, write));
    // And after the switch, when none may come.
    let (mut link, hand) = Hand::joined();
    let (read, write) = rustix::pipe::pipe().unwrap();
    flood(&hand.socket, &[0], 200, write.as_fd());
    assert!(is_misuse(&end_of(&mut link)));
    drop((link, hand));
    assert!(is_alone(&read, write));
}

#[test]
fn what_is_no_sealed_memory_and_no_bell_is_refused() {
    let unsealed = memfd_create(c"test", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&unsealed, 4096 + u64::from(CAPACITY)).unwrap();
    let (pipe, _write) = rustix::pipe::pipe().unwrap();
    for (memory, bell) in
        [(Some(&unsealed), None), (Some(&pipe), None), (None, Some(&pipe)), (None, Some(&unsealed))]
    {
        let (mut link, hand) = Hand::new();
        let memory = memory.unwrap_or(&hand.memory).as_fd();
        let bell = bell.map_or(hand.bell.as_fd(), AsFd::as_fd);
        hand.say(Kind::Offer, &[memory, bell]);
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{error:?}");
    }
    // Right, but in the wrong order.
    let (mut link, hand) = Hand::new();
    hand.say(Kind::Offer, &[hand.bell.as_fd(), hand.memory.as_fd()]);
    assert!(is_misuse(&end_of(&mut link)));
    // Of another size than it says.
    let (mut link, hand) = Hand::new();
    let record = Record { kind: Kind::Offer, capacity: CAPACITY / 2 };
    let both = [hand.memory.as_fd(), hand.bell.as_fd()];
    assert!(records::send(hand.socket.as_fd(), record, &both).unwrap());
    assert!(is_misuse(&end_of(&mut link)));
}

#[test]
fn words_out_of_turn_end_the_link() {
    for kinds in [
        &[Kind::Switch][..],
        &[Kind::Answer],
        &[Kind::Offer, Kind::Offer],
        &[Kind::Offer, Kind::Answer],
        &[Kind::Decline, Kind::Offer],
        &[Kind::Offer, Kind::Decline, Kind::Switch],
        &[Kind::Offer, Kind::Switch, Kind::Switch],
        &[Kind::Ask],
        &[Kind::Offer, Kind::Ask],
    ] {
        let (mut link, hand) = Hand::new();
        for &kind in kinds {
            let both = [hand.memory.as_fd(), hand.bell.as_fd()];
            let descriptors = if kind == Kind::Offer { &both[..] } else { &[] };
            hand.say(kind, descriptors);
        }
        let error = end_of(&mut link);
        assert!(
            matches!(error, LinkError::SharedMemory(_) | LinkError::Empty),
            "{kinds:?}: {error:?}"
        );
    }
}

#[test]
fn a_record_that_is_cut_short_is_truncated() {
    use std::io::Write;
    let record = Record { kind: Kind::Offer, capacity: CAPACITY }.encode();
    for len in 1..records::LEN {
        let (mut link, mut hand) = Hand::new();
        hand.socket.write_all(&record[..len]).unwrap();
        assert!(link.receive().unwrap().is_none());
        drop(hand);
        assert!(matches!(end_of(&mut link), LinkError::Truncated));
    }
}

#[test]
fn bytes_after_the_switch_end_a_link_that_is_attended_too() {
    use std::io::Write;
    let (mut link, mut hand) = Hand::new();
    link.attended(true);
    hand.offer();
    assert!(link.receive().unwrap().is_none());
    link.flush().unwrap();
    hand.socket.write_all(&Record { kind: Kind::Switch, capacity: CAPACITY }.encode()).unwrap();
    assert!(link.receive().unwrap().is_none());
    while !link.rest() {
        assert!(link.receive().unwrap().is_none());
    }
    hand.socket.write_all(b"more").unwrap();
    let error = loop {
        if link.rest() {
            assert!(readiness::wait(link.readiness(), Some(PATIENCE)).unwrap(), "{link:?}");
            continue;
        }
        match link.receive() {
            Ok(Some(message)) => panic!("{message:?}"),
            Ok(None) => {}
            Err(error) => break error,
        }
    };
    assert!(is_misuse(&error), "{error:?}");
}

#[test]
fn bytes_after_the_switch_end_the_link() {
    use std::io::Write;
    let switch = Record { kind: Kind::Switch, capacity: CAPACITY }.encode();
    for later in [true, false] {
        let (mut link, mut hand) = Hand::new();
        hand.offer();
        assert!(link.receive().unwrap().is_none());
        link.flush().unwrap();
        if later {
            hand.socket.write_all(&switch).unwrap();
            assert!(link.receive().unwrap().is_none());
            hand.socket.write_all(b"more").unwrap();
        } else {
            hand.socket.write_all(&[&switch[..], b"more"].concat()).unwrap();
        }
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{later}: {error:?}");
    }
}

#[test]
fn a_side_that_declines_leaves_the_socket_as_it_was() {
    use std::io::{Read, Write};
    for after_the_answer in [false, true] {
        let (mut link, mut hand) = Hand::new();
        if after_the_answer {
            hand.offer();
            assert!(link.receive().unwrap().is_none());
            link.flush().unwrap();
            hand.read_answer();
        }
        hand.say(Kind::Decline, &[]);
        hand.socket.write_all(&framed(b"on we go")).unwrap();
        assert_eq!(link.receive().unwrap(), Some(&b"on we go"[..]));
        assert_eq!(link.shared(), Progress::Declined);
        assert_eq!(link.info().transport, "unix");
        link.buffer(2).unwrap().unwrap().copy_from_slice(b"hi");
        link.commit();
        assert!(link.flush().unwrap());
        let mut found = [0; 6];
        hand.socket.read_exact(&mut found).unwrap();
        assert_eq!(found[..], framed(b"hi"));
        // A bell that was handed over means nothing any more.
        hand.bell.ring();
        assert!(link.receive().unwrap().is_none());
        assert!(!readiness::wait(link.readiness(), Some(Duration::ZERO)).unwrap());
    }
}

#[test]
fn positions_that_cannot_be_end_the_link() {
    for tail in [CAPACITY + 1, u32::MAX, 1 << 31] {
        let (mut link, mut hand) = Hand::joined();
        hand.put(0, b"nonsense", tail);
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{tail}: {error:?}");
    }
    // Backwards, after something was taken.
    let (mut link, mut hand) = Hand::joined();
    let bytes = framed(b"hello");
    hand.put(0, &bytes, bytes.len() as u32);
    assert_eq!(link.receive().unwrap(), Some(&b"hello"[..]));
    hand.put(0, &bytes, bytes.len() as u32 - 1);
    assert!(is_misuse(&end_of(&mut link)));
    // A head beyond what was sent: sending fails, and what was sent to us still comes.
    let (mut link, mut hand) = Hand::joined();
    hand.own.region().control().words()[1].store(1, Ordering::Release);
    link.buffer(2).unwrap().unwrap().copy_from_slice(b"hi");
    link.commit();
    assert!(is_misuse(&link.flush().unwrap_err()));
    hand.put(0, &bytes, bytes.len() as u32);
    assert_eq!(link.receive().unwrap(), Some(&b"hello"[..]));
}

#[test]
fn a_side_that_dies_at_any_byte_of_a_message_is_seen() {
    let whole = framed(b"a whole message");
    let cut = framed(&[7; 40]);
    for sent in 0..=cut.len() {
        let (mut link, mut hand) = Hand::joined();
        let bytes = [&whole[..], &cut].concat();
        // All of it lies there; what counts is how far the tail had come.
        hand.put(0, &bytes, (whole.len() + sent) as u32);
        drop(hand);
        assert_eq!(link.receive().unwrap(), Some(&b"a whole message"[..]));
        let error = end_of(&mut link);
        match sent {
            0 => assert!(matches!(error, LinkError::Closed), "{sent}: {error:?}"),
            _ if sent == cut.len() => assert!(matches!(error, LinkError::Closed)),
            _ => assert!(matches!(error, LinkError::Truncated), "{sent}: {error:?}"),
        }
    }
}

#[test]
fn lengths_that_no_message_has_end_the_link() {
    for (prefix, zero) in [(0_u32, true), (u32::MAX, false)] {
        let (mut link, mut hand) = Hand::joined();
        hand.put(0, &prefix.to_be_bytes(), 4);
        let error = end_of(&mut link);
        let right = match zero {
            true => matches!(error, LinkError::Empty),
            false => matches!(error, LinkError::TooLarge { .. }),
        };
        assert!(right, "{error:?}");
    }
}

#[test]
fn a_bell_that_rings_for_nothing_falls_quiet() {
    let (mut link, hand) = Hand::joined();
    for _ in 0..1_000 {
        hand.bell.ring();
        assert!(link.receive().unwrap().is_none());
    }
    assert!(!readiness::wait(link.readiness(), Some(Duration::ZERO)).unwrap());
}

#[test]
fn a_bell_that_was_filled_up_and_made_to_block_does_not_hang_the_ringer() {
    let (mut link, hand) = Hand::joined();
    let (_, bell) = hand.theirs.as_ref().unwrap();
    let flags = fcntl_getfl(bell).unwrap();
    // Up to the most that an eventfd can count; one more would block.
    rustix::io::write(bell, &(u64::MAX - 2).to_ne_bytes()).unwrap();
    fcntl_setfl(bell, flags - OFlags::NONBLOCK).unwrap();
    for asleep in (1..2_001_u32).step_by(2) {
        hand.own.region().control().words()[2].store(asleep, Ordering::Release);
        link.buffer(1).unwrap().unwrap().copy_from_slice(b"x");
        link.commit();
        assert!(link.flush().unwrap());
    }
}

/// Every word and every byte changes at every moment: the link ends with a typed error or goes on, and nobody else is harmed.
#[test]
fn memory_that_is_scribbled_over_harms_nobody_else() {
    let (mut near, mut far) = pair(&LinkOptions::default()).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..40 {
        let (mut link, mut hand) = Hand::joined();
        let over = AtomicBool::new(false);
        let seed = next();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut state = seed | 1;
                while !over.load(Ordering::Relaxed) {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let noise = state >> 20;
                    hand.own.write((noise >> 8) as u32 % CAPACITY, &noise.to_ne_bytes());
                    let words = hand.own.region().control().words();
                    let word = words[(noise % words.len() as u64) as usize];
                    // Mostly what could just be.
                    let value = if round % 2 == 0 {
                        (noise >> 3) as u32
                    } else {
                        (noise >> 3) as u32 % 70_000
                    };
                    word.store(value, Ordering::Relaxed);
                    if noise % 64 == 0 {
                        hand.bell.ring();
                    }
                }
            });
            for _ in 0..5_000 {
                let received = link.receive().map(|message| message.map(<[u8]>::len));
                if let Ok(Some(len)) = received {
                    assert!(len <= link.info().max_message);
                }
                let sent = link.buffer(100).map(|room| room.map(|room| room.fill(1)).is_some());
                link.commit();
                let flushed = sent.and_then(|_| link.flush());
                if received.is_err() && flushed.is_err() {
                    break;
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        near.buffer(5).unwrap().unwrap().copy_from_slice(b"hello");
        near.commit();
        assert!(near.flush().unwrap());
        assert_eq!(far.receive().unwrap(), Some(&b"hello"[..]), "a bystander is not harmed");
    }
}
