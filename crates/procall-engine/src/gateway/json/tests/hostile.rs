//! What nobody should send, and peers that do not read.

use serde_json::{Value, json};

use super::engine::{News, outcome};
use super::*;

#[tokio::test]
async fn garbage_is_answered_and_the_link_stays_open() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    for text in [
        "{",
        "{}",
        "[1]",
        "[[]]",
        "{\"type\":4}",
        "{\"type\":\"call\"}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "[{\"type\":\"ping\"},{\"type\":\"call\"}]",
        "{\"type\":\"result\",\"id\":1}x",
    ] {
        client.text(text).await;
        let error = client.next().await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!("PROTOCOL_ERROR")),
            "{text}"
        );
        assert_eq!(error.get("id"), None, "{text}");
    }
    let mut bomb = String::from(r#"{"type":"call","id":1,"method":"a","params":"#);
    bomb.push_str(&"[".repeat(1 << 20));
    client.text(&bomb).await;
    assert_eq!(client.next().await["code"], "PROTOCOL_ERROR");
    client.raw(&[0, 0, 0, 3, b'{', 0xff, b'}']).await;
    assert_eq!(client.next().await["code"], "PROTOCOL_ERROR");
    assert_eq!(client.ask(json!({"type": "ping"})).await, json!({"type": "pong"}));
}

#[tokio::test]
async fn values_that_nobody_can_have_are_refused_by_the_id_of_the_call() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    for params in [
        "[NaN]",
        "[-Infinity]",
        "[1e999]",
        "[18446744073709551616]",
        "{\"a\":1,\"a\":2}",
        "{\"$x\":1}",
        "[{\"$bytes\":\"?\"}]",
    ] {
        client
            .text(&format!(
                "{{\"type\":\"call\",\"id\":7,\"method\":\"echo\",\"params\":{params}}}"
            ))
            .await;
        let failed = client.next().await;
        assert_eq!(
            (&failed["type"], &failed["id"], &failed["ok"]),
            (&json!("result"), &json!(7), &json!(false)),
            "{params}"
        );
        assert_eq!(
            (&failed["error"]["code"], &failed["error"]["executed"]),
            (&json!("invalid_params"), &json!("no")),
            "{params}"
        );
    }
    client.text(r#"{"type":"notify","method":"m","params":[NaN]}"#).await;
    assert_eq!(client.next().await["type"], "error");
}

#[tokio::test]
async fn a_batch_is_handled_in_order() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    let call = |id: u64| json!({"type": "call", "id": id, "method": "hold"});
    client.send(json!([{"type": "ping", "nonce": 1}, {"type": "later"}, call(1), {"type": "ping", "nonce": 2}])).await;
    assert_eq!(client.next().await["nonce"], 1);
    assert_eq!(client.next().await["nonce"], 2);
    client.send(json!([])).await;
    assert_eq!(client.ask(json!({"type": "ping"})).await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_message_comes_one_byte_at_a_time() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.stream.set_nodelay(true).unwrap();
    for byte in framed(SEED_REGISTER) {
        client.raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.next().await["type"], "register");
    for byte in framed(r#"{"type":"call","id":1,"method":"add","params":[1,2]}"#) {
        client.raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.next().await["result"], 3.0);
}

#[tokio::test]
async fn a_length_above_the_limit_ends_the_link() {
    for length in [(64_u32 << 20) + 1, u32::MAX, 0] {
        let engine = TestEngine::new();
        let mut client = Client::connect(&engine).await;
        client.ask(json!({"type": "ping"})).await;
        let mut peer = engine.attached().await;
        client.raw(&length.to_be_bytes()).await;
        assert_eq!(client.next_text().await, None);
        soon(client.gateway).await.unwrap();
        peer.closed().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_refused() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.register_seed().await;
    let mut victim = Client::connect(&engine).await;
    victim.register_seed().await;
    engine.attached().await;
    let peer = engine.attached().await;
    let call = peer.call("math.add", json!({"a": 1, "b": 2}));
    let asked = victim.next().await;
    // Somebody else answers, with the right id.
    for id in [asked["id"].clone(), json!(UUID), json!(5)] {
        let error =
            client.ask(json!({"type": "result", "id": id, "ok": true, "result": "forged"})).await;
        assert_eq!(
            (&error["type"], &error["id"], &error["code"]),
            (&json!("error"), &id, &json!("PROTOCOL_ERROR"))
        );
    }
    client.send(json!({"type": "error", "id": UUID, "code": "x", "message": "forged"})).await;
    victim.send(json!({"type": "result", "id": asked["id"], "ok": true, "result": 3})).await;
    assert_eq!(outcome(call).await.unwrap(), json!(3));
    // A second answer is one too many.
    let error =
        victim.ask(json!({"type": "result", "id": asked["id"], "ok": true, "result": 4})).await;
    assert_eq!(error["type"], "error");
    assert_eq!(client.leave().await, Counters { unasked: 4, ..Counters::default() });
    assert_eq!(victim.leave().await, Counters { unasked: 1, ..Counters::default() });
    assert_eq!(*engine.strays.lock().unwrap(), Counters { unasked: 5, ..Counters::default() });
}

#[tokio::test]
async fn both_dialects_at_once_and_even_on_one_link() {
    let engine = TestEngine::new();
    let (mut own, mut other) = tokio::join!(Client::connect(&engine), Client::connect(&engine));
    let ours = async {
        for id in 0..200 {
            let result = own
                .ask(json!({"type": "call", "id": id, "method": "add", "params": [id, 1]}))
                .await;
            assert_eq!(
                result,
                json!({"type": "result", "id": id, "ok": true, "result": f64::from(id + 1)})
            );
        }
    };
    let theirs = async {
        for id in 0..200 {
            let result = other
                .ask(json!({"type": "request", "id": id, "method": "add", "params": [id, 1]}))
                .await;
            assert_eq!(result, json!({"type": "response", "id": id, "result": f64::from(id + 1)}));
        }
    };
    tokio::join!(ours, theirs);
    let result = own.ask(json!({"id": 1, "method": "add", "params": [1, 2]})).await;
    assert_eq!(result["type"], "response");
    let result =
        other.ask(json!({"type": "call", "id": 1, "method": "add", "params": [1, 2]})).await;
    assert_eq!(result["type"], "result");
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_only_itself() {
    let engine = TestEngine::new();
    let mut slow = Client::connect(&engine).await;
    slow.register_own(&["f"]).await;
    let mut peer = engine.attached().await;
    peer.registered().await;
    // Its own calls whose results it does not read: the gateway stops reading, so writing stops too.
    let call = json!({"type": "call", "id": 0, "method": "echo", "params": ["x".repeat(1 << 16)]})
        .to_string();
    let mut sent: u64 = 0;
    let full = loop {
        let text = call.replacen("\"id\":0", &format!("\"id\":{sent}"), 1);
        let bytes = framed(&text);
        let mut done = 0;
        // The kernel's queues are full when nothing more can be written although the gateway has had time: it is blocked as well then.
        let written = timeout(Duration::from_secs(1), async {
            while done < bytes.len() {
                done += slow.stream.write(&bytes[done..]).await.unwrap();
            }
        });
        if written.await.is_err() {
            break (done, bytes);
        }
        sent += 1;
        assert!(sent < 10_000, "the gateway reads although nobody reads from it");
    };
    // Notifications for it are dropped beyond those that may wait, and are counted.
    for n in 0..2000 {
        peer.notify("log", json!([n]), json!({}));
    }
    // Others do not notice.
    let mut other = Client::connect(&engine).await;
    let result =
        other.ask(json!({"type": "call", "id": 1, "method": "add", "params": [1, 2]})).await;
    assert_eq!(result["result"], 3.0);

    // Once it reads, all its answers come, in full.
    let (mut reader, mut writer) = tokio::io::split(&mut slow.stream);
    let rest = async {
        writer.write_all(&full.1[full.0..]).await.unwrap();
    };
    let answers = async {
        let mut answered = 0;
        let mut told = 0_u64;
        while answered <= sent {
            let mut length = [0; 4];
            reader.read_exact(&mut length).await.unwrap();
            let mut text = vec![0; u32::from_be_bytes(length) as usize];
            reader.read_exact(&mut text).await.unwrap();
            let message: Value = serde_json::from_slice(&text).unwrap();
            match message["type"].as_str().unwrap() {
                "result" => {
                    assert_eq!((&message["ok"], &message["id"]), (&json!(true), &json!(answered)));
                    answered += 1;
                }
                "notify" => told += 1,
                other => panic!("{other}"),
            }
        }
        told
    };
    let (told, ()) = soon(async { tokio::join!(answers, rest) }).await;
    assert!(told <= 2000);
    // A peer that goes while it is blocked is noticed as well.
    slow.leave().await;
    peer.closed().await;
}

#[test]
fn notifications_beyond_those_that_may_wait_are_dropped_and_counted() {
    use procall::transport::{LinkOptions, mem};
    use procall::{Encoding, RawService, Request, Side};

    use crate::gateway::json::inbox::Inbox;

    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    let inbox = Arc::new(Inbox::default());
    let sender = procall::Connection::new(Box::new(theirs), Side::Acceptor, Default::default());
    let receiver =
        procall::Connection::serving(Box::new(ours), Side::Initiator, Default::default());
    let mut batch = procall::Batch::new();
    let mut seen = 0;
    for round in 1..=3 {
        for _ in 0..100 {
            sender.notify(Request::new("log", Encoding::Msgpack, &[0x91, 1])).unwrap();
        }
        while seen < 100 * round {
            receiver.wait_calls(&mut batch, None, &mut || false).unwrap();
            seen += batch.len();
            inbox.calls(&receiver, &batch);
            batch.clear();
        }
    }
    let waiting = std::iter::from_fn(|| inbox.take()).count() as u64;
    assert_eq!((waiting, inbox.dropped()), (256, 44));
}

#[tokio::test]
async fn what_comes_while_a_registration_is_under_way_is_read_afterwards() {
    let engine = TestEngine::new();
    let mut client = Client::connect(&engine).await;
    client.send(json!({"type": "register", "id": 1, "name": "held", "methods": []})).await;
    let mut peer = engine.attached().await;
    let News::Registering(id, registration) = peer.next().await else { panic!("it registers") };
    client.send(json!({"type": "call", "id": 2, "method": "add", "params": [1, 2]})).await;
    // The gateway hears of it, and leaves it.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    peer.connection.answer_registration(id, Ok(Arc::new(registration)));
    assert_eq!(client.next().await["type"], "registered");
    assert_eq!(client.next().await["result"], 3.0);
}
