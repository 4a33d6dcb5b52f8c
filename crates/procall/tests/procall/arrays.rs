//! Large arrays: the same values over every transport, and in shared memory lent instead of carried.

use procall::{Array, BlockingClient, ErrorCode, LENDING_PAYS, Service, TypedBuffer};

use crate::support::{TRANSPORTS, Transport, blocking};

fn service() -> Service {
    Service::new("arrays")
        .method("sum", |array: TypedBuffer| array.elements::<u64>().unwrap().iter().sum::<u64>())
        .method("join", |one: TypedBuffer, between: String, other: TypedBuffer| {
            format!("{:?}{between}{:?}", one.shape(), other.shape())
        })
        .method("mirror", |array: TypedBuffer| array)
}

fn array(len: usize) -> TypedBuffer {
    let elements: Vec<u64> = (0..len as u64).collect();
    TypedBuffer::from_elements(&[len as u64], &elements).unwrap()
}

fn sum(client: &BlockingClient, len: usize) {
    let sum: u64 = client.call("sum", (array(len),)).wait().unwrap();
    assert_eq!(sum, (0..len as u64).sum::<u64>());
}

const LARGE: usize = 200_000;

#[test]
fn they_arrive_unchanged_over_every_transport() {
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, service());
        for len in [0, 1, LENDING_PAYS / 8 - 1, LENDING_PAYS / 8, LENDING_PAYS / 8 + 1, LARGE] {
            sum(&client, len);
            let back: TypedBuffer = client.call("mirror", (array(len),)).wait().unwrap();
            assert!(back == array(len), "{transport:?}: {len}");
        }
        let joined: String =
            client.call("join", (array(LARGE), " and ", array(LARGE + 1))).wait().unwrap();
        assert_eq!(joined, format!("[{LARGE}] and [{}]", LARGE + 1));
    }
}

#[test]
fn in_shared_memory_they_are_lent_and_their_memory_is_used_again() {
    let (client, _host) = blocking(Transport::Shm, service());
    for _ in 0..20 {
        sum(&client, LARGE);
    }
    let metrics = client.connection().metrics();
    assert_eq!((metrics.arrays_copied, metrics.arrays_as_bytes), (20, 0));
    let arena = client.connection().arena().unwrap();
    // The answer may be here before the other side has let go of the array.
    assert!(arena.made() <= 2, "{arena:?}");
}

#[test]
fn small_ones_and_those_of_other_links_are_not_lent() {
    let (client, _host) = blocking(Transport::Shm, service());
    sum(&client, LENDING_PAYS / 8 - 1);
    assert_eq!(client.connection().metrics().arrays_copied, 0);
    for transport in [Transport::Mem, Transport::Unix, Transport::Tcp] {
        let (client, _host) = blocking(transport, service());
        sum(&client, LARGE);
        assert_eq!(client.connection().metrics().arrays_copied, 0, "{transport:?}");
        assert!(client.connection().arena().is_none(), "{transport:?}");
    }
}

#[test]
fn more_than_a_body_can_lend_arrive_all_the_same() {
    let service = Service::new("arrays").method("count", |arrays: Vec<TypedBuffer>| {
        arrays.iter().map(|array| array.elements::<u64>().unwrap().len()).sum::<usize>()
    });
    let (client, _host) = blocking(Transport::Shm, service);
    let arrays: Vec<TypedBuffer> = (0..100).map(|more| array(3_000 + more)).collect();
    let count: usize = client.call("count", (arrays,)).wait().unwrap();
    assert_eq!(count, (0..100).map(|more| 3_000 + more).sum::<usize>());
}

fn waited<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + crate::support::LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "the other side keeps it");
        std::thread::yield_now();
    }
}

#[test]
fn one_that_is_made_for_a_channel_is_not_copied() {
    let (client, _host) = blocking(Transport::Shm, service());
    let mut array = Array::<u64>::empty(&client, &[10, LARGE as u64 / 10]).unwrap();
    for round in 0..10 {
        // The answer may be here before the other side has let go of the array.
        waited(|| array.elements_mut().map(|elements| elements.fill(round)));
        let sum: u64 = client.call("sum", (&array,)).wait().unwrap();
        assert_eq!(sum, round * LARGE as u64);
    }
    let metrics = client.connection().metrics();
    assert_eq!(
        (metrics.arrays_in_place, metrics.arrays_copied, metrics.arrays_as_bytes),
        (10, 0, 0)
    );
    assert_eq!(client.connection().arena().unwrap().made(), 1);
}

#[test]
fn one_that_is_made_for_another_channel_or_for_one_that_cannot_lend_is_sent_all_the_same() {
    let (shared, _host) = blocking(Transport::Shm, service());
    for transport in TRANSPORTS {
        let (client, _host) = blocking(transport, service());
        for maker in [&client, &shared] {
            let mut array = Array::<u64>::empty(maker, &[LARGE as u64]).unwrap();
            array.elements_mut().unwrap().fill(3);
            let sum: u64 = client.call("sum", (&array,)).wait().unwrap();
            assert_eq!(sum, 3 * LARGE as u64, "{transport:?}");
        }
    }
    let wrong = Array::<u64>::empty(&shared, &[u64::MAX, 2]).unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::InvalidArgument);
}

#[test]
fn it_cannot_be_written_while_a_call_has_it() {
    let (gate, opened) = std::sync::mpsc::sync_channel::<()>(1);
    let opened = std::sync::Mutex::new(opened);
    let service = Service::new("arrays").blocking_method("hold", move |array: TypedBuffer| {
        let _ = opened.lock().unwrap().recv_timeout(crate::support::LONG);
        Ok::<_, procall::Error>(array.elements::<u64>().unwrap()[0])
    });
    let (client, _host) = blocking(Transport::Shm, service);
    let mut array = Array::<u64>::empty(&client, &[100_000]).unwrap();
    array.elements_mut().unwrap().fill(5);
    // It is kept for another attempt.
    let held = client.submit::<u64>("hold", (&array,)).unwrap();
    assert!(array.elements_mut().is_none());
    gate.send(()).unwrap();
    assert_eq!(held.wait().unwrap(), 5);
    waited(|| array.elements_mut().map(|_| ()));
}
