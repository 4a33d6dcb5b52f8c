//! What is bounded, and what is said at the bound.

use procall::{
    Batch, Config, Connection, Encoded, Encoding, ErrorCode, Executed, Limits, Request, Side,
};

use crate::support::{Transport, pair, within};

fn sides(limits: Limits) -> (Connection, Connection) {
    let (ours, theirs) = pair(Transport::Mem);
    let config = Config { limits, ..Config::default() };
    let client = Connection::new(ours, Side::Initiator, config.clone());
    (client, Connection::serving(theirs, Side::Acceptor, config))
}

#[test]
fn a_result_that_is_too_large_is_an_error_of_its_own() {
    let limits = Limits { max_body: 1000, ..Limits::default() };
    let (client, server) = sides(limits);
    let serving = std::thread::spawn(move || {
        let mut batch = Batch::new();
        server.wait_calls(&mut batch, None, &mut || false).unwrap();
        let id = batch.iter().next().unwrap().id.unwrap();
        server.reply(id, Encoded::new(Encoding::Msgpack, vec![0xc0; 1001]));
        batch.clear();
        // Until the client is gone.
        let _ = server.wait_calls(&mut batch, None, &mut || false);
    });
    let call = client.start(Request::new("work", Encoding::None, &[])).unwrap();
    let error = call.wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::ResultTooLarge, Executed::Yes));
    let too_long = [0xc0; 1001];
    let error = client.start(Request::new("work", Encoding::Msgpack, &too_long)).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    client.close();
    serving.join().unwrap();
}

#[tokio::test]
async fn results_too_large_for_the_caller_end_the_call_only() {
    // The callee allows more than the caller.
    let (ours, theirs) = pair(Transport::Unix);
    let service = procall::Service::new("calc").method("text", |length: usize| "x".repeat(length));
    service.serve_link(theirs).unwrap();
    let limits = Limits { max_body: 1 << 20, ..Limits::default() };
    let client = Connection::new(ours, Side::Initiator, Config { limits, ..Config::default() });
    let outcome = within(tokio::task::spawn_blocking(move || {
        let params = [0x91, 0xce, 0x00, 0x20, 0x00, 0x00];
        let error = client
            .start(Request::new("text", Encoding::Msgpack, &params))
            .unwrap()
            .wait()
            .unwrap_err();
        let params = [0x91, 3];
        let reply = client.start(Request::new("text", Encoding::Msgpack, &params)).unwrap().wait();
        (error, reply.unwrap().bytes)
    }));
    let (error, short) = outcome.await.unwrap();
    assert_eq!((error.code(), error.executed()), (ErrorCode::ResultTooLarge, Executed::Yes));
    assert_eq!(short, b"\xa3xxx");
}

#[tokio::test]
async fn what_two_sides_want_compressed_arrives_whole_and_what_one_wants_too() {
    let folder = tempfile::tempdir().unwrap();
    for (serves, calls) in [(true, true), (true, false), (false, true)] {
        let address: procall::transport::Address =
            format!("unix:{}/echo-{serves}-{calls}.sock", folder.path().display()).parse().unwrap();
        let service = procall::Service::new("echo")
            .method("echo", |text: String| text)
            .stream_method("parts", |text: String, n: usize| {
                procall::Stream::from_iter(vec![text; n])
            })
            .compression(serves);
        let server = procall::Server::bind(&address, service).unwrap();
        let serving = tokio::spawn(server.run_until(std::future::pending()));
        let options = procall::ConnectOptions { compression: calls, ..Default::default() };
        let client = procall::Client::connect_with(&address.to_string(), options).await.unwrap();
        let features = client.connection().peer().unwrap().features;
        assert_eq!(features.contains(&"lz4".to_owned()), serves);
        let text = "all work and no play; ".repeat(20_000);
        assert!(client.call::<String>("echo", (&text,)).await.unwrap() == text);
        let mut parts = client.stream::<String>("parts", (&text[..9_000], 200));
        for _ in 0..200 {
            assert!(parts.next().await.unwrap().unwrap() == text[..9_000]);
        }
        serving.abort();
    }
}
