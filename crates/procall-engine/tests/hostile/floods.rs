//! Peers that send without end, or never read.

use std::time::Duration;

use procall::transport::{LinkOptions, tcp::TcpLink};
use procall::{Client, Config, Connection, ErrorCode, Registration, Side};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::raw::Raw;
use crate::support::{House, SAFETY, math};

/// A client that calls for as long as it is left to, and says how often it was answered.
struct Bystander {
    enough: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<u64>,
}

impl Bystander {
    fn start(client: Client) -> Self {
        let (enough, told) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(async move {
            let mut answered = 0;
            while !*told.borrow() {
                assert_eq!(
                    client.call::<f64>("math.add", (answered, 2)).await.unwrap(),
                    answered as f64 + 2.0
                );
                answered += 1;
            }
            answered
        });
        Self { enough, task }
    }

    async fn stop(self) {
        self.enough.send(true).unwrap();
        let answered = tokio::time::timeout(SAFETY, self.task).await.unwrap().unwrap();
        assert!(answered > 0, "it was never served");
    }
}

fn link(house: &House) -> TcpLink {
    let address = house.address.strip_prefix("tcp:").unwrap().parse().unwrap();
    TcpLink::connect(address, &LinkOptions::default()).unwrap()
}

const HELLO: [u8; 13] = [0x94, 0x00, 0xa7, b'p', b'r', b'o', b'c', b'a', b'l', b'l', 1, 1, 0x80];

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_ends_only_the_flooder() {
    const MANY: u64 = 10_000_000;
    let house = House::new();
    let _worker = house.serve(math()).await;
    let bystander = Bystander::start(house.client().await);
    let mut flooder = Raw::connect(&house.address).await;
    flooder.message(&HELLO).await;
    let flood = async {
        let mut pings = 0_u64;
        // `[13, nonce]`, with its length before it.
        let ping = [0, 0, 0, 3, 0x92, 13, 7];
        while flooder.stream.write_all(&ping).await.is_ok() && pings < MANY {
            pings += 1;
        }
        pings
    };
    let pings = tokio::time::timeout(SAFETY, flood).await.expect("nobody stops it");
    assert!(pings < MANY, "it was never ended");
    bystander.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_without_end_slow_nobody_else() {
    const MANY: u32 = 100_000;
    /// The number of the answer among the messages.
    const REGISTERED: u8 = 3;
    let house = House::new();
    let _worker = house.serve(math()).await;
    let bystander = Bystander::start(house.client().await);
    let mut flooder = Raw::connect(&house.address).await;
    flooder.message(&HELLO).await;
    flooder.next_bytes().await.expect("a welcome");
    let (mut reading, mut writing) = flooder.stream.into_split();
    let writer = tokio::spawn(async move {
        let mut bytes = Vec::new();
        for at in 0..MANY {
            // `[2, id, enc]` and {"name": "many", "methods": [{"name": "m…"}]}
            let name = format!("m{at:07}");
            let mut message = vec![0x93, 2, 0xce];
            message.extend_from_slice(&(2 * at + 1).to_be_bytes());
            message.extend_from_slice(b"\x01\x82\xa4name\xa4many\xa7methods\x91\x81\xa4name\xa8");
            message.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
            bytes.append(&mut message);
            if bytes.len() > 1 << 16 || at + 1 == MANY {
                writing.write_all(&bytes).await.unwrap();
                bytes.clear();
            }
        }
        writing
    });
    let answers = async {
        let (mut stood, mut refused) = (0, 0);
        let mut reading = tokio::io::BufReader::new(&mut reading);
        while stood + refused < MANY {
            let length = reading.read_u32().await.expect("it was hung up on");
            let mut message = vec![0; length as usize];
            reading.read_exact(&mut message).await.unwrap();
            if message[1] == REGISTERED {
                // `[3, id, code]`, and what is wrong.
                *(if message.ends_with(&[0, 0x80]) || message.last() == Some(&0) {
                    &mut stood
                } else {
                    &mut refused
                }) += 1;
            }
        }
        (stood, refused)
    };
    let (stood, refused) = tokio::time::timeout(SAFETY * 6, answers).await.expect("it hangs");
    assert!(stood > 0 && refused > 0, "{stood} and {refused}");
    let _open = writer.await.unwrap();
    bystander.stop().await;
    let known: Vec<Value> = house.client().await.call("procall.engine.list", ()).await.unwrap();
    assert!(known.len() < 8_192, "{} methods are remembered", known.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_too_often_is_told_to_wait() {
    let house = House::new();
    let connection =
        Connection::serving(Box::new(link(&house)), Side::Initiator, Config::default());
    let flood = tokio::task::spawn_blocking(move || {
        connection.wait_for(Some(SAFETY), &mut || false, Connection::poll_ready).unwrap().unwrap();
        loop {
            let registration = Registration { name: "many".into(), ..Registration::default() };
            connection.register(&registration).unwrap();
            let answer =
                connection.wait_for(Some(SAFETY), &mut || false, Connection::poll_registered);
            if let Err(error) = answer.expect("it is answered") {
                return error;
            }
        }
    });
    let error = tokio::time::timeout(SAFETY, flood).await.expect("it may go on").unwrap();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(error.retry_after().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_fills_its_own_queue_and_nobody_elses() {
    /// So many short calls have answers that no buffers hold.
    const MOST: usize = 64 << 20;
    /// Nobody takes anything for so long.
    const STUCK: Duration = Duration::from_secs(2);
    let house = House::new();
    let _worker = house.serve(math()).await;
    let bystander = Bystander::start(house.client().await);
    let mut deaf = Raw::connect(&house.address).await;
    let call = br#"{"type":"call","id":1,"method":"no.such.method"}"#;
    let mut framed = u32::try_from(call.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(call);
    let calls = framed.repeat(1_000);
    let mut sent = 0;
    // Each is answered, and no answer is read: in the end nothing more is taken either.
    let stuck = loop {
        let written = tokio::time::timeout(STUCK, deaf.stream.write_all(&calls));
        match written.await {
            Err(_) | Ok(Err(_)) => break true,
            Ok(Ok(())) => sent += calls.len(),
        }
        if sent > MOST {
            break false;
        }
    };
    assert!(stuck, "{sent} bytes were taken of a peer that reads nothing");
    bystander.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_reading_keeps_its_own_calls_waiting_and_no_others() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let mut deaf = Raw::connect(&house.address).await;
    let hello = json!({"type": "hello", "min": 1, "max": 1});
    assert_eq!(deaf.ask(hello).await["type"], "welcome");
    let registration =
        json!({"type": "register", "id": 1, "name": "deaf", "methods": [{"name": "hear"}]});
    assert_eq!(deaf.ask(registration).await["type"], "registered");
    let bystander = Bystander::start(house.client().await);
    let caller = house.client().await;
    let body = "x".repeat(1 << 20);
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let call = caller.call::<()>("deaf.hear", (&body,));
            tokio::spawn(call.deadline(Duration::from_secs(3)).into_future())
        })
        .collect();
    for call in calls {
        let error = tokio::time::timeout(SAFETY, call).await.unwrap().unwrap().unwrap_err();
        let expected = [ErrorCode::DeadlineExceeded, ErrorCode::Overloaded];
        assert!(expected.contains(&error.code()), "{error}");
    }
    assert_eq!(caller.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    bystander.stop().await;
}
