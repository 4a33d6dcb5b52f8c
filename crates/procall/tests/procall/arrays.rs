//! Large arrays: the same values over every transport, and in shared memory lent instead of carried.

use procall::{BlockingClient, LENDING_PAYS, Service, TypedBuffer};

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
