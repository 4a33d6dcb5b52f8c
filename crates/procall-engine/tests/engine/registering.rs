use procall::transport::{Link, LinkOptions, tcp::TcpLink};
use procall::{Config, Connection, Error, ErrorCode, MethodInfo, Registration, Side};
use serde_json::json;

use crate::support::{House, SAFETY, math};

/// A peer that says what it likes.
fn peer(house: &House, config: Config) -> Connection {
    let address = house.address.strip_prefix("tcp:").unwrap().parse().unwrap();
    let link = TcpLink::connect(address, &LinkOptions::default()).unwrap();
    let connection = Connection::serving(Box::new(link), Side::Initiator, config);
    connection.wait_for(Some(SAFETY), &mut || false, Connection::poll_ready).unwrap().unwrap();
    connection
}

fn register(connection: &Connection, registration: &Registration) -> Result<(), Error> {
    connection.register(registration).unwrap();
    connection.wait_for(Some(SAFETY), &mut || false, Connection::poll_registered).unwrap()
}

fn method(name: &str, schema: serde_json::Value) -> MethodInfo {
    MethodInfo { name: name.into(), params_schema: Some(schema), ..MethodInfo::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_schema_refuses_the_whole_with_every_reason() {
    let house = House::new();
    let connection = peer(&house, Config::default());
    let registration = Registration {
        name: "calc".into(),
        methods: vec![
            method("add", json!({"type": "object"})),
            method("sub", json!({"type": "nonsense"})),
            method("mul", json!({"$ref": "http://localhost/schema.json"})),
            method("procall.secret", json!({})),
        ],
        ..Registration::default()
    };
    let error = register(&connection, &registration).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["/methods/1/params_schema", "/methods/2/params_schema", "/methods/3/name"]);
    assert!(house.peers().await.iter().all(|peer| peer.methods == 0), "nothing of it stands");

    let quarantined = Registration { quarantine: true, ..registration.clone() };
    register(&connection, &quarantined).unwrap();
    house.until(|peers| peers.iter().any(|peer| peer.methods == 1)).await;

    let good = Registration { methods: registration.methods[..1].to_vec(), ..registration };
    register(&connection, &good).unwrap();
    register(&connection, &good).expect("telling it twice replaces the first");
    assert_eq!(house.peers().await.iter().map(|peer| peer.methods).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_methods_are_refused() {
    let house = House::new();
    let connection = peer(&house, Config::default());
    let methods =
        (0..1025).map(|at| MethodInfo { name: format!("m{at}"), ..MethodInfo::default() });
    let registration =
        Registration { name: "many".into(), methods: methods.collect(), ..Registration::default() };
    let error = register(&connection, &registration).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("1024"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_live_worker_chose_is_its_own() {
    let house = House::new();
    let config = || Config { name: "the-one".into(), ..Config::default() };
    let registration = Registration { name: "calc".into(), ..Registration::default() };
    let first = peer(&house, config());
    register(&first, &registration).unwrap();
    let second = peer(&house, config());
    let error = register(&second, &registration).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NameTaken);
    first.close();
    house.until(|peers| peers.iter().all(|peer| peer.service.is_empty())).await;
    register(&second, &registration).expect("the name is free again");
    assert!(house.peers().await.iter().any(|peer| peer.name == "the-one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_stand_side_by_side_and_callers_choose() {
    let house = House::new();
    let version = |number: &'static str| {
        procall::Service::new("model").version(number).method("version", move || number.to_owned())
    };
    let _old = house.serve(version("1.4.2")).await;
    let _new = house.serve(version("2.0.0")).await;
    let client = house.client().await;
    for (wanted, expected) in [("1", "1.4.2"), ("2", "2.0.0"), ("1.4", "1.4.2")] {
        let seen: String =
            client.call("model.version", ()).meta(&json!({"version": wanted})).await.unwrap();
        assert_eq!(seen, expected);
    }
    let none = client.call::<String>("model.version", ()).meta(&json!({"version": "3"})).await;
    assert_eq!(none.unwrap_err().code(), ErrorCode::NoWorker);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_its_sender_the_connection_and_nobody_else_anything() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let client = house.client().await;
    let address: std::net::SocketAddr =
        house.address.strip_prefix("tcp:").unwrap().parse().unwrap();
    let hostile: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 1, 0xc1],
        &[0, 0, 0, 3, 0x98, 4, 1],
        &[0, 0, 0, 2, 0x91, 0xff],
        &[0, 0, 0, 5, 0xdd, 0xff, 0xff, 0xff, 0xff],
    ];
    for bytes in hostile {
        let ended = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(SAFETY)).unwrap();
            socket.write_all(bytes).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // A reset is an end as good as any.
            let _ = socket.read_to_end(&mut answer);
            answer
        });
        let answer =
            tokio::time::timeout(SAFETY, ended).await.expect("it was never hung up on").unwrap();
        assert!(answer.len() < 1024, "{bytes:?}: {answer:?}");
        assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    }
    house
        .until(|peers| peers.iter().filter(|peer| peer.address.starts_with("127.")).count() == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_never_asked_ends_only_its_own_session() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let client = house.client().await;
    let address = house.address.strip_prefix("tcp:").unwrap().parse().unwrap();
    let mut link = TcpLink::connect(address, &LinkOptions::default()).unwrap();
    let hello = [0x94, 0x00, 0xa7, b'p', b'r', b'o', b'c', b'a', b'l', b'l', 1, 1, 0x80];
    let unasked = [0x94, 5, 8, 1, 0, 3];
    for message in [&hello[..], &unasked] {
        link.buffer(message.len()).unwrap().unwrap().copy_from_slice(message);
        link.commit();
    }
    link.flush().unwrap();
    let over = tokio::task::spawn_blocking(move || {
        loop {
            match link.receive() {
                Ok(Some(_)) => {}
                Ok(None) => _ = procall::transport::readiness::wait(link.readiness(), Some(SAFETY)),
                Err(_) => return,
            }
        }
    });
    tokio::time::timeout(SAFETY, over).await.expect("it was never hung up on").unwrap();
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_can_have_only_so_many_peers() {
    let house = House::with(|builder| builder.peers(100, 3));
    let all: Vec<_> = (0..3).map(|_| peer(&house, Config::default())).collect();
    let address = house.address.strip_prefix("tcp:").unwrap().parse().unwrap();
    let link = TcpLink::connect(address, &LinkOptions::default()).unwrap();
    let refused = Connection::new(Box::new(link), Side::Initiator, Config::default());
    let greeted = tokio::task::spawn_blocking(move || {
        refused.wait_for(Some(SAFETY), &mut || false, Connection::poll_ready)
    });
    assert!(greeted.await.unwrap().unwrap().is_err());
    drop(all);
}
