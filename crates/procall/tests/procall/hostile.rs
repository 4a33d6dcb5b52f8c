//! Garbage from one peer harms no other client of the same server.

use std::io::{Read, Write};
use std::time::Duration;

use procall::transport::Address;
use procall::{BlockingClient, Client, Error, Server, Service};

use crate::support::{Host, LONG, within};

const HELLO: &[u8] = b"\x94\x00\xa7procall\x01\x01\x80";

/// Says that it can unpack.
const PACKING_HELLO: &[u8] = b"\x94\x00\xa7procall\x01\x01\x81\xa8features\x91\xa3lz4";

fn service() -> Service {
    Service::new("calc").method("add", |a: i64, b: i64| a + b).compression(true).async_method(
        "later",
        async |n: i64| {
            tokio::task::yield_now().await;
            Ok::<_, Error>(n)
        },
    )
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    bytes
}

/// A greeting, then these messages.
fn greeted(messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = framed(HELLO);
    for message in messages {
        bytes.extend(framed(message));
    }
    bytes
}

/// Call 1 of `add` with these params.
fn call(encoding: u8, params: &[u8]) -> Vec<u8> {
    let mut message = b"\x98\x04\x01\xa3add".to_vec();
    message.extend([encoding, 0x00, 0xc0, 0xcd, 0x75, 0x30, 0xc0]);
    message.extend_from_slice(params);
    message
}

/// A greeting with compression, then a packed message that claims this length.
fn packed(claimed: u32, block: &[u8]) -> Vec<u8> {
    let mut message = vec![0x92, 17, 0xce];
    message.extend(claimed.to_be_bytes());
    message.extend_from_slice(block);
    [framed(PACKING_HELLO), framed(&message)].concat()
}

fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let deep: Vec<u8> = std::iter::repeat_n(0x91, 100_000).chain([0xc0]).collect();
    let deep_json: Vec<u8> = std::iter::repeat_n(b'[', 100_000).collect();
    let long_then_nothing = [&framed(HELLO)[..], &[0x00, 0x0f, 0x00, 0x00, 0x98]].concat();
    vec![
        ("nothing", Vec::new()),
        ("text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("a length of 4 GiB", vec![0xff, 0xff, 0xff, 0xff, 0x94]),
        ("a length of zero", vec![0; 4]),
        ("a long hello", framed(&[0x94; 5000])),
        ("half a hello", framed(HELLO)[..7].to_vec()),
        ("a call before the greeting", framed(&call(1, &[0x92, 1, 2]))),
        ("a second greeting", greeted(&[HELLO])),
        ("a wrong version", framed(b"\x94\x00\xa7procall\x63\x63\x80")),
        ("an answer to no call", greeted(&[b"\x94\x05\x02\x01\x00\x03"])),
        ("the same id twice", greeted(&[&call(1, &[0x92, 1, 2]), &call(1, &[0x92, 1, 2])])),
        ("an even id", greeted(&[b"\x98\x04\x02\xa3add\x01\x00\xc0\xc0\xc0\x92\x01\x02"])),
        (
            "an item without a stream",
            greeted(&[&call(1, &[0x92, 1, 2]), b"\x94\x08\x01\x01\x00\x01"]),
        ),
        ("a header that is cut", greeted(&[b"\x98\x04\x01\xa3ad"])),
        ("params that are cut", greeted(&[&call(1, &[0x92, 1])])),
        ("params that are deep", greeted(&[&call(1, &deep)])),
        ("params that claim 4 G elements", greeted(&[&call(1, &[0xdd, 0xff, 0xff, 0xff, 0xff])])),
        ("deep JSON", greeted(&[&call(2, &deep_json)])),
        ("params in no known encoding", greeted(&[&call(0x63, &[1, 2, 3])])),
        (
            "a text that is not UTF-8",
            greeted(&[b"\x98\x04\x01\xa3\xff\xfe\xfd\x01\x00\xc0\xc0\xc0"]),
        ),
        ("a length and then nothing", long_then_nothing),
        ("a packed message without leave", greeted(&[b"\x92\x11\x03\x30\x92\x0d\x07"])),
        ("a bomb of 4 GiB", packed(u32::MAX, &[0x1f, 0, 1, 0, 255, 255, 255, 255, 0])),
        ("a bomb of 1,000 to 1", packed(9_000, &[0x1f, 0, 1, 0, 255, 255, 255, 255, 0])),
        ("a packed message that is noise", packed(900, &[0xa5; 64])),
        ("JSON", framed(b"{\"type\": \"ping\"}")),
    ]
}

/// Sends it, tells that there is no more, and reads what comes until the server is done with this peer.
fn attack(name: &str, address: &Address, bytes: &[u8]) {
    trait Stream: Read + Write {}
    impl<T: Read + Write> Stream for T {}
    let (mut stream, shut): (Box<dyn Stream>, Box<dyn Fn()>) = match address {
        Address::Unix(path) => {
            let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let other = stream.try_clone().unwrap();
            (
                Box::new(stream),
                Box::new(move || {
                    let _ = other.shutdown(std::net::Shutdown::Write);
                }),
            )
        }
        Address::Tcp(address) => {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let other = stream.try_clone().unwrap();
            (
                Box::new(stream),
                Box::new(move || {
                    let _ = other.shutdown(std::net::Shutdown::Write);
                }),
            )
        }
        other => panic!("{other} is not attacked"),
    };
    // The server may hang up half-way.
    let _ = stream.write_all(bytes);
    shut();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{name}: {error}");
        }
    }
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let directory = tempfile::tempdir().unwrap();
    for address in
        [Address::Unix(directory.path().join("calc.sock")), "tcp:127.0.0.1:0".parse().unwrap()]
    {
        let host = Host::new();
        let address = host.runtime.block_on(async {
            let server = Server::bind(&address, service()).unwrap();
            let bound = server.address().clone();
            tokio::spawn(server.run_until(std::future::pending()));
            bound
        });
        let bystander = BlockingClient::connect(&address.to_string()).unwrap();
        for (n, (name, bytes)) in attacks().into_iter().enumerate() {
            attack(name, &address, &bytes);
            let n = n as i64;
            assert_eq!(bystander.call::<i64>("add", (n, 1)).wait().unwrap(), n + 1, "{name}");
            assert_eq!(bystander.call::<i64>("later", (n,)).wait().unwrap(), n, "{name}");
        }
        host.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_bad_body_is_refused_and_the_connection_goes_on() {
    for transport in crate::support::TRANSPORTS {
        use procall::{Encoding, ErrorCode, Request};
        let (client, _serving) = crate::support::client_over(transport, service()).await;
        let deep: Vec<u8> = std::iter::repeat_n(0x91, 100_000).chain([0xc0]).collect();
        let deep_json = vec![b'['; 100_000];
        for (encoding, params) in [
            (Encoding::Msgpack, &[0x92, 1][..]),
            (Encoding::Msgpack, &[0x92, 1, 2, 3]),
            (Encoding::Msgpack, &deep),
            (Encoding::Msgpack, &[0xdd, 0xff, 0xff, 0xff, 0xff]),
            (Encoding::Msgpack, &[0x92, 1, 0xc1]),
            (Encoding::Msgpack, &[]),
            (Encoding::Json, &deep_json),
            (Encoding::Json, b"\xff"),
            (Encoding::Unknown(77), &[1]),
        ] {
            let pending = client.connection().start(Request::new("add", encoding, params)).unwrap();
            let error = within(pending).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error:?}");
        }
        assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_peer_of_any_kind_cannot_harm_a_mem_link_either() {
    use procall::transport::{Link, LinkOptions, mem};
    for (name, bytes) in attacks() {
        // Without the framing a mem link carries the messages themselves.
        let (mut ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
        let serving = service().serve_link(Box::new(theirs)).unwrap();
        for message in [HELLO, &bytes] {
            if let Ok(Some(buffer)) = ours.buffer(message.len()) {
                buffer.copy_from_slice(message);
                ours.commit();
            }
        }
        let _ = ours.flush();
        within(async {
            // Either it is refused at once, or it goes on until we close.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            ours.close();
            std::future::poll_fn(|cx| serving.poll_closed(cx.waker())).await
        })
        .await;
        let _ = name;
    }
    let client: Client = crate::support::client(service()).await;
    assert_eq!(client.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}
