//! Tests of large arrays in shared memory: that they come and go, and what the other side can do to a link with them.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};

use super::hostile::{Hand, end_of, framed, is_misuse};
use super::mapped::Mapped;
use super::records::{self, Notice};
use super::region::SEALS;
use super::*;

const LEN: usize = 100_000;

fn linked() -> (UnixLink, UnixLink) {
    let (mut left, mut right) = pair(&LinkOptions::default()).unwrap();
    left.lends();
    right.lends();
    (left, right)
}

fn filled(arena: &Arena, byte: u8) -> Arc<Buffer> {
    let mut buffer = arena.take(LEN).unwrap().unwrap();
    buffer.bytes_mut().fill(byte);
    Arc::new(buffer)
}

fn send(link: &mut UnixLink, message: &[u8], promises: &[Promise]) {
    link.buffer_lending(message.len(), promises).unwrap().unwrap().copy_from_slice(message);
    link.commit();
    assert!(link.flush().unwrap());
}

/// Lends a buffer with a message, and gives what the other side gets.
fn lend(
    arena: &Arena,
    from: &mut UnixLink,
    to: &mut UnixLink,
    buffer: Arc<Buffer>,
) -> Vec<Arc<Loan>> {
    let promise = from.promise(arena, &buffer).unwrap().unwrap();
    drop(buffer);
    send(from, b"look", &[promise]);
    assert_eq!(to.receive().unwrap(), Some(&b"look"[..]));
    to.arrivals().unwrap().take()
}

fn bytes(loan: &Loan) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(loan.copy(0, LEN, &mut bytes));
    bytes
}

#[test]
fn the_other_side_sees_what_was_written_and_memory_is_used_again() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    for round in 0..100_u8 {
        let loans = lend(&arena, &mut left, &mut right, filled(&arena, round));
        let [loan] = &loans[..] else { panic!("{loans:?}") };
        assert!(bytes(loan) == [round; LEN]);
        assert!(right.arrivals().unwrap().take().is_empty(), "they are taken once");
    }
    assert_eq!(arena.made(), 1, "what was given back was used again");
}

#[test]
fn memory_that_is_looked_at_is_not_used_for_anything_else() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    let held = lend(&arena, &mut left, &mut right, filled(&arena, 1));
    for round in 2..10 {
        assert!(
            bytes(&lend(&arena, &mut left, &mut right, filled(&arena, round))[0]) == [round; LEN]
        );
        assert!(bytes(&held[0]) == [1; LEN]);
    }
    assert_eq!(arena.made(), 2);
    drop(held);
    let (one, other) = (filled(&arena, 11), filled(&arena, 12));
    assert_eq!(arena.made(), 2);
    drop((one, other));
}

#[test]
fn what_two_messages_lend_is_free_when_both_are_done() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    let buffer = filled(&arena, 1);
    let first = lend(&arena, &mut left, &mut right, buffer.clone());
    let second = lend(&arena, &mut left, &mut right, buffer);
    drop(first);
    drop(filled(&arena, 2));
    assert_eq!(arena.made(), 2, "the second message still lends it");
    assert!(bytes(&second[0]) == [1; LEN]);
    drop(second);
    let both = [filled(&arena, 3), filled(&arena, 4)];
    assert_eq!(arena.made(), 2);
    drop(both);
}

#[test]
fn a_promise_that_is_not_kept_gives_the_memory_back() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    let buffer = filled(&arena, 1);
    let promise = left.promise(&arena, &buffer).unwrap().unwrap();
    drop((buffer, promise));
    assert!(bytes(&lend(&arena, &mut left, &mut right, filled(&arena, 2))[0]) == [2; LEN]);
    assert_eq!(arena.made(), 1);
}

#[test]
fn loans_that_nobody_takes_are_given_back_with_the_next_message() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    for round in 0..20 {
        let buffer = filled(&arena, round);
        let promise = left.promise(&arena, &buffer).unwrap().unwrap();
        drop(buffer);
        send(&mut left, b"look", &[promise]);
        assert!(right.receive().unwrap().is_some());
        send(&mut left, b"nothing", &[]);
        assert!(right.receive().unwrap().is_some());
    }
    assert_eq!(arena.made(), 1);
}

#[test]
fn what_is_seen_stays_when_the_link_ends_and_its_memory_is_given_up() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    let held = lend(&arena, &mut left, &mut right, filled(&arena, 1));
    left.close();
    drop((left, right));
    drop(filled(&arena, 2));
    assert_eq!(
        (arena.made(), arena.segments()),
        (2, 1),
        "the one that is held is not ours any more"
    );
    assert!(bytes(&held[0]) == [1; LEN]);
}

#[test]
fn one_arena_serves_many_links_and_each_is_waited_for() {
    let (mut left, mut right) = linked();
    let (mut other_left, mut other_right) = linked();
    let arena = Arena::new();
    let buffer = filled(&arena, 1);
    let here = lend(&arena, &mut left, &mut right, buffer.clone());
    let there = lend(&arena, &mut other_left, &mut other_right, buffer);
    drop(here);
    drop(filled(&arena, 2));
    assert_eq!(arena.made(), 2);
    assert!(bytes(&there[0]) == [1; LEN]);
    drop(there);
    let both = [filled(&arena, 3), filled(&arena, 4)];
    assert_eq!(arena.made(), 2);
    drop(both);
}

#[test]
fn memory_that_is_given_up_makes_room_for_other_on_the_link() {
    let (mut left, mut right) = linked();
    let arena = Arena::new();
    let mut len = 4096_usize;
    for round in 0..SLOTS + 8 {
        // Too large for all memory before.
        len += ((len + 1).next_power_of_two() / 16).max(4096);
        let mut buffer = arena.take(len).unwrap().unwrap();
        buffer.bytes_mut()[..8].fill(round as u8);
        let loans = lend(&arena, &mut left, &mut right, Arc::new(buffer));
        let mut bytes = Vec::new();
        assert!(loans[0].copy(0, 8, &mut bytes));
        assert_eq!(bytes, [round as u8; 8], "{round}");
    }
    assert_eq!(arena.made(), SLOTS as u64 + 8);
}

#[test]
fn another_arena_and_a_link_that_was_not_told_lend_nothing() {
    let (mut left, _right) = linked();
    let (arena, other) = (Arena::new(), Arena::new());
    assert!(left.promise(&arena, &filled(&other, 1)).unwrap().is_none());
    let (mut left, _right) = pair(&LinkOptions::default()).unwrap();
    assert!(left.promise(&arena, &filled(&arena, 1)).unwrap().is_none());
    let (mut left, _right) = UnixLink::pair(&LinkOptions::default()).unwrap();
    left.lends();
    assert!(left.promise(&arena, &filled(&arena, 1)).unwrap().is_none());
}

/// The first notice of the side that switches last may come together with its switch.
#[test]
fn a_loan_right_after_the_switch_arrives() {
    for _ in 0..50 {
        let (mut left, mut right) = UnixLink::pair(&LinkOptions::default()).unwrap();
        left.share(true);
        right.share(false);
        left.lends();
        right.lends();
        let arena = Arena::new();
        while right.shared() != Progress::Done {
            assert!(left.flush().unwrap());
            assert!(right.receive().unwrap().is_none());
            assert!(right.flush().unwrap());
            if right.shared() != Progress::Done {
                assert!(left.receive().unwrap().is_none());
            }
        }
        // `left` has not read the switch yet.
        let loans = lend(&arena, &mut right, &mut left, filled(&arena, 9));
        assert!(bytes(&loans[0]) == [9; LEN]);
    }
}

// ---- a side that breaks the rules

fn lending() -> (UnixLink, Hand) {
    let (mut link, hand) = Hand::joined();
    link.lends();
    (link, hand)
}

fn tell(hand: &Hand, notice: Notice, descriptors: &[BorrowedFd<'_>]) {
    assert!(records::send_bytes(hand.socket.as_fd(), notice.encode(), descriptors).unwrap());
}

/// Puts a loan and a message into the ring, and gives how the link ends.
fn misuse(hand: &mut Hand, link: &mut UnixLink, loans: &[(u32, u32)]) -> LinkError {
    let mut bytes: Vec<u8> =
        loans.iter().flat_map(|&(region, generation)| records::loan(region, generation)).collect();
    bytes.extend(framed(b"look"));
    hand.put(0, &bytes, bytes.len() as u32);
    end_of(link)
}

#[test]
fn loans_of_memory_that_nobody_told_of_end_the_link() {
    for (region, generation) in [(0, 1), (7, 0), (u32::MAX, u32::MAX)] {
        let (mut link, mut hand) = lending();
        let error = misuse(&mut hand, &mut link, &[(region, generation)]);
        assert!(is_misuse(&error), "{error:?}");
    }
}

#[test]
fn stale_loans_and_loans_of_memory_that_was_withdrawn_end_the_link() {
    let (_mapped, memory) = Mapped::create(LEN).unwrap();
    let (mut link, mut hand) = lending();
    tell(&hand, Notice::Here { slot: 3 }, &[memory.as_fd()]);
    let error = misuse(&mut hand, &mut link, &[(0, 5), (0, 4)]);
    assert!(is_misuse(&error) && error.to_string().contains("anew"), "{error:?}");

    for after in [Notice::Gone { slot: 3 }, Notice::Here { slot: 3 }] {
        let (mut link, mut hand) = lending();
        tell(&hand, Notice::Here { slot: 3 }, &[memory.as_fd()]);
        let descriptors = [memory.as_fd()];
        let with = usize::from(after != Notice::Gone { slot: 3 });
        tell(&hand, after, &descriptors[..with]);
        let error = misuse(&mut hand, &mut link, &[(0, 1)]);
        assert!(is_misuse(&error), "{error:?}");
    }
}

#[test]
fn more_loans_than_a_message_can_have_end_the_link() {
    let (_mapped, memory) = Mapped::create(LEN).unwrap();
    let (mut link, mut hand) = lending();
    tell(&hand, Notice::Here { slot: 0 }, &[memory.as_fd()]);
    let error = misuse(&mut hand, &mut link, &[(0, 1); SLOTS + 1]);
    assert!(is_misuse(&error), "{error:?}");
}

/// Memory with these seals, of which only `there` bytes are there.
fn memory(len: u64, there: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create(c"test", flags).unwrap();
    ftruncate(&memory, len).unwrap();
    if there > 0 {
        fallocate(&memory, rustix::fs::FallocateFlags::empty(), 0, there).unwrap();
    }
    fcntl_add_seals(&memory, seals).unwrap();
    memory
}

#[test]
fn memory_that_could_be_taken_away_ends_the_link() {
    let pipe = rustix::pipe::pipe().unwrap().0;
    let wrong = [
        memory(4096, 4096, SEALS.difference(SealFlags::SHRINK)),
        memory(4096, 4096, SEALS.difference(SealFlags::GROW)),
        memory(4096, 4096, SEALS.difference(SealFlags::FUTURE_WRITE)),
        memory(8192, 4096, SEALS),
        memory(0, 0, SEALS),
        pipe,
    ];
    for memory in wrong {
        let (mut link, mut hand) = lending();
        tell(&hand, Notice::Here { slot: 0 }, &[memory.as_fd()]);
        let error = misuse(&mut hand, &mut link, &[(0, 1)]);
        assert!(is_misuse(&error), "{memory:?}: {error:?}");
    }
}

#[test]
fn notices_that_make_no_sense_end_the_link() {
    let (_mapped, memory) = Mapped::create(LEN).unwrap();
    let both = [memory.as_fd(), memory.as_fd()];
    let wrong = [
        (Notice::Here { slot: 0 }, 0),
        (Notice::Here { slot: 0 }, 2),
        (Notice::Here { slot: SLOTS as u16 }, 1),
        (Notice::Gone { slot: u16::MAX }, 0),
        (Notice::Gone { slot: 0 }, 1),
    ];
    for (notice, count) in wrong {
        let (mut link, hand) = lending();
        tell(&hand, notice, &both[..count]);
        let error = end_of(&mut link);
        assert!(is_misuse(&error), "{notice:?} {count}: {error:?}");
    }
    let (mut link, hand) = lending();
    (&hand.socket).write_all(&[0, 0, 0, 0, 4, 0, 0, 0]).unwrap();
    let error = end_of(&mut link);
    assert!(is_misuse(&error), "{error:?}");
}

#[test]
fn a_notice_in_pieces_is_put_together() {
    let (_mapped, memory) = Mapped::create(LEN).unwrap();
    let (mut link, mut hand) = lending();
    (&hand.socket).write_all(&Notice::Gone { slot: 0 }.encode()[..5]).unwrap();
    assert!(link.receive().unwrap().is_none());
    (&hand.socket).write_all(&Notice::Gone { slot: 0 }.encode()[5..]).unwrap();
    tell(&hand, Notice::Here { slot: 0 }, &[memory.as_fd()]);
    let bytes = [&records::loan(0, 1)[..], &framed(b"look")].concat();
    hand.put(0, &bytes, bytes.len() as u32);
    assert_eq!(link.receive().unwrap(), Some(&b"look"[..]));
    assert_eq!(link.arrivals().unwrap().take().len(), 1);
}

/// What the other side writes while it is looked at is its own affair: whatever comes out is what lay there at some moment.
#[test]
fn what_lies_outside_of_a_loan_is_out_of_reach() {
    let (_mapped, memory) = Mapped::create(8192).unwrap();
    let (mut link, mut hand) = lending();
    tell(&hand, Notice::Here { slot: 0 }, &[memory.as_fd()]);
    let bytes = [&records::loan(0, 1)[..], &framed(b"look")].concat();
    hand.put(0, &bytes, bytes.len() as u32);
    assert_eq!(link.receive().unwrap(), Some(&b"look"[..]));
    let loans = link.arrivals().unwrap().take();
    for (at, len) in [(0, 8193), (8192, 1), (usize::MAX, 1), (1, usize::MAX)] {
        assert!(loans[0].address(at, len).is_none(), "{at} {len}");
        assert!(!loans[0].copy(at, len, &mut Vec::new()), "{at} {len}");
    }
    assert!(loans[0].address(8192, 0).is_some());
}

/// A side that says it is done before it is, or more often than it was lent, only spoils what it sees itself.
#[test]
fn releases_that_are_lies_leave_the_memory_alone() {
    let (mut link, hand) = lending();
    let arena = Arena::new();
    for _ in 0..5 {
        hand.release(0);
    }
    let buffer = filled(&arena, 1);
    let promise = link.promise(&arena, &buffer).unwrap().unwrap();
    send(&mut link, b"look", &[promise]);
    drop(buffer);
    drop(filled(&arena, 2));
    assert_eq!(arena.made(), 2, "five is not one");
    assert!(link.buffer(1).is_ok(), "the link lives on");
}

/// The process that looks at memory is killed: nothing of it is left once the link is gone, and what it held is not waited for.
#[test]
fn memory_of_a_link_whose_other_side_vanished_comes_back() {
    let (mut link, hand) = lending();
    let arena = Arena::new();
    for _ in 0..10 {
        let buffer = filled(&arena, 1);
        let promise = link.promise(&arena, &buffer).unwrap().unwrap();
        send(&mut link, b"look", &[promise]);
    }
    assert_eq!(arena.segments(), 10);
    drop(hand);
    assert!(matches!(end_of(&mut link), LinkError::Closed));
    drop(filled(&arena, 2));
    assert_eq!(arena.segments(), 1);
}
