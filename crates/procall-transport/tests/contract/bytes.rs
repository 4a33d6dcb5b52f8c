//! What a peer can do to a stream link byte by byte, by accident or on purpose.

use std::io::{Read, Write};

use procall_transport::{LinkError, LinkOptions};

use crate::harness::{
    MakeRaw, assert_dead, framed, is_closed, next, pattern, queue, random, ready_now, rest, send,
    wait,
};

on_every_stream!(
    a_message_may_arrive_one_byte_at_a_time,
    messages_go_out_with_their_length_before_them,
    end_of_file_inside_a_prefix_is_truncated,
    end_of_file_inside_a_message_is_truncated,
    a_length_of_zero_is_refused_at_once,
    a_length_above_the_limit_is_refused_at_once,
    a_peer_that_is_not_known_yet_may_be_held_to_less,
    good_messages_before_a_bad_length_are_received,
    a_claimed_length_costs_no_memory,
    memory_shrinks_after_large_messages,
    garbage_only_ends_the_link,
    the_peer_of_a_refused_message_sees_the_end,
    the_peer_of_a_closed_link_sees_an_orderly_end,
);

/// What two fresh buffers may cost: far less than any claim in these tests.
const LITTLE: usize = 256 << 10;

/// A message may arrive one byte at a time; it comes out when it is whole.
fn a_message_may_arrive_one_byte_at_a_time(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    for message in [&b"a"[..], b"bcd", &pattern(3, 300)] {
        let bytes = framed(message);
        let (last, all_before) = bytes.split_last().unwrap();
        for byte in all_before {
            peer.write_all(&[*byte]).unwrap();
            wait(&*link);
            while ready_now(&*link) {
                assert_eq!(link.receive().unwrap(), None);
            }
        }
        peer.write_all(&[*last]).unwrap();
        assert_eq!(next(&mut *link), message);
    }
}

fn messages_go_out_with_their_length_before_them(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    queue(&mut *link, b"hello");
    queue(&mut *link, &[9; 258]);
    assert!(link.flush().unwrap());
    let mut bytes = [0; 4 + 5 + 4 + 258];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..13], *b"\0\0\0\x05hello\0\0\x01\x02");
    assert_eq!(bytes[13..], [9; 258]);
}

/// End of file inside a message is `Truncated`.
fn end_of_file_inside_a_prefix_is_truncated(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    peer.write_all(&framed(b"whole")).unwrap();
    peer.write_all(&[0, 0]).unwrap();
    drop(peer);
    let (received, error) = rest(&mut *link);
    assert_eq!(received, [b"whole"]);
    assert!(matches!(error, LinkError::Truncated), "{error:?}");
    assert_dead(&mut *link, |error| matches!(error, LinkError::Truncated));
}

fn end_of_file_inside_a_message_is_truncated(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    let bytes = framed(&[5; 100_000]);
    peer.write_all(&bytes[..bytes.len() - 1]).unwrap();
    drop(peer);
    let (received, error) = rest(&mut *link);
    assert!(received.is_empty());
    assert!(matches!(error, LinkError::Truncated), "{error:?}");
    link.close();
    assert_dead(&mut *link, |error| matches!(error, LinkError::Truncated));
}

/// A length of zero and a length above the limit are refused at once, and nothing is allocated for them.
fn a_length_of_zero_is_refused_at_once(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    peer.write_all(&[0; 4]).unwrap();
    let (received, error) = rest(&mut *link);
    assert!(received.is_empty());
    assert!(matches!(error, LinkError::Empty), "{error:?}");
    assert_dead(&mut *link, |error| matches!(error, LinkError::Empty));
}

/// `limit` bounds what is taken of the peer until it is said otherwise; what is sent to it has the bound of the link.
fn a_peer_that_is_not_known_yet_may_be_held_to_less(raw: MakeRaw) {
    let options = LinkOptions { max_message: 10_000, ..LinkOptions::default() };
    let (mut link, mut peer) = raw(&options);
    link.limit(100);
    queue(&mut *link, &[1; 10_000]);
    peer.write_all(&framed(&[7; 100])).unwrap();
    assert_eq!(next(&mut *link), [7; 100]);
    link.limit(usize::MAX);
    peer.write_all(&framed(&[8; 10_000])).unwrap();
    assert_eq!(next(&mut *link), [8; 10_000]);
    let (mut link, mut peer) = raw(&options);
    link.limit(100);
    peer.write_all(&101_u32.to_be_bytes()).unwrap();
    let (_, error) = rest(&mut *link);
    assert!(matches!(error, LinkError::TooLarge { len: 101, max: 100 }), "{error:?}");
}

fn a_length_above_the_limit_is_refused_at_once(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions { max_message: 1 << 20, ..LinkOptions::default() });
    peer.write_all(&((1_u32 << 20) + 1).to_be_bytes()).unwrap();
    let (_, error) = rest(&mut *link);
    assert!(matches!(error, LinkError::TooLarge { len: 1_048_577, max: 1_048_576 }), "{error:?}");
    assert!(link.memory() <= LITTLE, "{}", link.memory());
    assert_dead(&mut *link, |error| {
        matches!(error, LinkError::TooLarge { len: 1_048_577, max: 1_048_576 })
    });
}

fn good_messages_before_a_bad_length_are_received(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    let bytes = [framed(b"one"), framed(b"two"), vec![0xff; 4]].concat();
    peer.write_all(&bytes).unwrap();
    let (received, error) = rest(&mut *link);
    assert_eq!(received, [b"one", b"two"]);
    assert!(matches!(error, LinkError::TooLarge { len: 0xffff_ffff, .. }), "{error:?}");
}

/// Memory grows only as bytes arrive, …
fn a_claimed_length_costs_no_memory(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions { max_message: 1 << 30, ..LinkOptions::default() });
    peer.write_all(&(1_u32 << 30).to_be_bytes()).unwrap();
    for _ in 0..100 {
        wait(&*link);
        while ready_now(&*link) {
            assert_eq!(link.receive().unwrap(), None);
        }
        peer.write_all(&[0; 1_000]).unwrap();
    }
    assert!(link.memory() <= LITTLE, "{}", link.memory());
}

/// … and shrinks again after large messages.
fn memory_shrinks_after_large_messages(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions { max_message: 8 << 20, ..LinkOptions::default() });
    let large = pattern(1, 8 << 20);
    std::thread::scope(|scope| {
        scope.spawn(|| peer.write_all(&framed(&large)).unwrap());
        assert!(next(&mut *link) == large);
    });
    queue(&mut *link, &large);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = vec![0; 4 + large.len()];
            peer.read_exact(&mut bytes).unwrap();
            bytes
        });
        while !link.flush().unwrap() {
            wait(&*link);
        }
        assert!(reader.join().unwrap()[4..] == large);
    });
    assert!(link.memory() >= 16 << 20, "{}", link.memory());
    for _ in 0..20 {
        peer.write_all(&framed(b"small")).unwrap();
        assert_eq!(next(&mut *link), b"small");
        assert_eq!(link.receive().unwrap(), None);
        send(&mut *link, b"small");
    }
    assert!(link.memory() <= LITTLE, "{}", link.memory());
}

fn garbage_only_ends_the_link(raw: MakeRaw) {
    let mut random = random();
    for _ in 0..200 {
        let (mut link, mut peer) =
            raw(&LinkOptions { max_message: 1 << 16, ..LinkOptions::default() });
        let mut garbage: Vec<u8> = (0..random() % 2_000).map(|_| random() as u8).collect();
        // Often a short length first, so that more than the first four bytes are looked at.
        if let Some(prefix) = garbage.first_chunk_mut::<4>().filter(|_| !random().is_multiple_of(4))
        {
            *prefix = [0, 0, 0, random() as u8];
        }
        peer.write_all(&garbage).unwrap();
        drop(peer);
        let (received, error) = rest(&mut *link);
        assert!(received.iter().map(|message| message.len() + 4).sum::<usize>() <= garbage.len());
        assert!(!matches!(error, LinkError::Io(_)), "{error:?}");
    }
}

fn the_peer_of_a_refused_message_sees_the_end(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    send(&mut *link, b"x");
    peer.write_all(&[0; 4]).unwrap();
    rest(&mut *link);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, framed(b"x"));
    drop(peer);
    link.close();
    assert!(!is_closed(&link.receive().unwrap_err()), "the first reason stays");
}

fn the_peer_of_a_closed_link_sees_an_orderly_end(raw: MakeRaw) {
    let (mut link, mut peer) = raw(&LinkOptions::default());
    peer.write_all(&[7; 10_000]).unwrap();
    wait(&*link);
    send(&mut *link, b"last words");
    link.close();
    drop(link);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("no reset, though the link left input unread");
    assert_eq!(all, framed(b"last words"));
}
