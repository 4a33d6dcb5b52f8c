//! Those who have not shown a token: 4 KiB and 5 s, and no more.

use procall::{Client, ConnectOptions};
use procall_engine::Rights;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, interval, timeout};

use crate::raw::Raw;
use crate::support::{House, SAFETY};

const SECRET: &str = "0123456789abcdef";

fn house() -> House {
    House::with(|builder| builder.token("boss", SECRET, Rights::all()))
}

/// Waits for the end, and gives what was said before.
async fn last_words(raw: &mut Raw) -> String {
    let mut words = Vec::new();
    // A reset is an end as good as any.
    let _ =
        timeout(SAFETY, raw.stream.read_to_end(&mut words)).await.expect("it may stay for ever");
    String::from_utf8_lossy(&words).into_owned()
}

async fn works(house: &House) {
    let options = ConnectOptions { token: Some(SECRET.into()), ..ConnectOptions::default() };
    let client = Client::connect_with(&house.address, options).await.unwrap();
    client.call::<serde_json::Value>("procall.engine.peers", ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_are_let_go() {
    let house = house();
    let mut silent = Raw::connect(&house.address).await;
    let words = last_words(&mut silent).await;
    assert!(words.contains("nothing was said"), "{words:?}");
    works(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_dribble_are_let_go() {
    let house = house();
    let dribbling = async {
        let mut raw = Raw::connect(&house.address).await;
        let mut second = interval(Duration::from_secs(1));
        // Announces a hello of 100 bytes, and never gets there.
        let mut bytes = 100_u32.to_be_bytes().into_iter().chain(std::iter::repeat(b' '));
        let mut sent = 0;
        let mut words = Vec::new();
        loop {
            tokio::select! {
                _ = second.tick() => {
                    let byte = [bytes.next().unwrap()];
                    if raw.stream.write_all(&byte).await.is_err() {
                        break;
                    }
                    sent += 1;
                }
                read = raw.stream.read_buf(&mut words) => {
                    if read.unwrap_or(0) == 0 {
                        break;
                    }
                }
            }
        }
        sent
    };
    let sent = timeout(SAFETY, dribbling).await.expect("it may stay for ever");
    assert!(sent < 100, "{sent} bytes were waited for");
    works(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_announce_too_much_are_hung_up_on_at_once() {
    let house = house();
    for announced in [4097_u32, 1 << 20, u32::MAX] {
        let mut raw = Raw::connect(&house.address).await;
        raw.stream.write_all(&announced.to_be_bytes()).await.unwrap();
        raw.stream.write_all(b"{").await.unwrap();
        let words = last_words(&mut raw).await;
        assert!(words.is_empty(), "{words:?}");
    }
    // As much as is allowed is looked at.
    let mut raw = Raw::connect(&house.address).await;
    let mut hello = format!(r#"{{"type":"hello","min":1,"max":1,"info":{{"token":"{SECRET}"}}"#);
    hello.push_str(&" ".repeat(4096 - hello.len() - 1));
    hello.push('}');
    assert_eq!(hello.len(), 4096);
    raw.message(hello.as_bytes()).await;
    assert_eq!(raw.next().await["type"], "welcome");
    works(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_a_wrong_token_is_not_looked_at() {
    let house = house();
    let mut raw = Raw::connect(&house.address).await;
    let mut hello = vec![0x94, 0x00, 0xa7];
    hello.extend_from_slice(b"procall\x01\x01\x81\xa5token\xc4\x05wrong");
    let mut bytes = Vec::new();
    for message in [&hello[..], &[0x94, 3, 1, 0, 0xa1, b'x']] {
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(message);
    }
    raw.stream.write_all(&bytes).await.unwrap();
    let words = last_words(&mut raw).await;
    assert!(words.contains("the token is wrong") && !words.contains("welcome"), "{words:?}");
    works(&house).await;
}
