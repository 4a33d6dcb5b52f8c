use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use procall::transport::{Link, LinkOptions, mem};
use procall::{Client, Readiness};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{House, SAFETY, lab, told};

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn open(house: &House, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/ws", house.http).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(house.http).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

pub(crate) async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn heard(socket: &mut Socket) -> Message {
    timeout(SAFETY, socket.next()).await.expect("a message").expect("no end").unwrap()
}

pub(crate) async fn heard_json(socket: &mut Socket) -> Value {
    loop {
        match heard(socket).await {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn text_is_our_json_form() {
    let (house, lab, _worker) = lab().await;
    let mut socket = open(&house, &[("sec-websocket-protocol", "procall")]).await.unwrap();
    say(&mut socket, json!({"type": "hello", "min": 1, "max": 1})).await;
    assert_eq!(heard_json(&mut socket).await["type"], "welcome");
    say(&mut socket, json!({"type": "call", "id": 1, "method": "lab.add", "params": [1, 2]})).await;
    let expected = json!({"type": "result", "id": 1, "ok": true, "result": 3.0});
    assert_eq!(heard_json(&mut socket).await, expected);

    let call =
        json!({"type": "call", "id": 2, "method": "lab.count", "params": [3], "items_out": true});
    say(&mut socket, call).await;
    for n in 0..3 {
        assert_eq!(heard_json(&mut socket).await, json!({"type": "item", "id": 2, "value": n}));
    }
    assert_eq!(heard_json(&mut socket).await, json!({"type": "end", "id": 2, "count": 3}));

    say(&mut socket, json!({"type": "call", "id": 3, "method": "lab.hang"})).await;
    told(&lab.begun).await;
    drop(socket);
    told(&lab.given_up).await;
}

#[tokio::test]
async fn a_page_can_serve_methods_too() {
    let (house, _lab, _worker) = lab().await;
    let mut socket = open(&house, &[]).await.unwrap();
    say(
        &mut socket,
        json!({"type": "register", "id": 1, "name": "page", "methods": [{"name": "title"}]}),
    )
    .await;
    assert_eq!(heard_json(&mut socket).await["type"], "registered");
    let client = house.client().await;
    let call = tokio::spawn(async move { client.call::<String>("page.title", ()).await });
    let asked = heard_json(&mut socket).await;
    assert_eq!(asked["method"], "title");
    say(&mut socket, json!({"type": "result", "id": asked["id"], "ok": true, "result": "Home"}))
        .await;
    assert_eq!(call.await.unwrap().unwrap(), "Home");
}

#[tokio::test]
async fn long_messages_pass_both_ways() {
    let house = House::new();
    let echo = procall::Service::new("echo").method("text", |text: String| text);
    let _worker = house.serve(echo).await;
    let (mut to, mut from) = open(&house, &[]).await.unwrap().split();
    let text = "ä".repeat(2 << 20);
    // Who sends without reading waits for himself in the end.
    let sending = async {
        for id in 0..4 {
            let call = json!({"type": "call", "id": id, "method": "echo.text", "params": [text]});
            to.send(Message::text(call.to_string())).await.unwrap();
        }
    };
    let hearing = async {
        for _ in 0..4 {
            let message = timeout(SAFETY, from.next()).await.expect("an answer").unwrap().unwrap();
            let answer: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            assert_eq!(answer["result"], text);
        }
    };
    tokio::join!(sending, hearing);
}

#[tokio::test]
async fn bytes_are_the_native_form() {
    let (house, _lab, _worker) = lab().await;
    let socket = open(&house, &[("sec-websocket-protocol", "procall")]).await.unwrap();
    let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    let carrier = tokio::spawn(Carrier::new(socket, ours));
    let client = Client::over(Box::new(theirs)).await.unwrap();
    assert_eq!(client.call::<f64>("lab.add", (1, 2)).await.unwrap(), 3.0);
    let mut counted = client.stream::<u64>("lab.count", (200,));
    for n in 0..200 {
        assert_eq!(counted.next().await.unwrap().unwrap(), n);
    }
    assert!(counted.next().await.is_none());
    house.until(|peers| peers.iter().any(|peer| peer.address.starts_with("127.0.0.1"))).await;
    client.close();
    timeout(SAFETY, carrier).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_socket_keeps_to_its_form() {
    let (house, _lab, _worker) = lab().await;
    let mut socket = open(&house, &[]).await.unwrap();
    say(&mut socket, json!({"type": "call", "id": 1, "method": "lab.add", "params": [1, 2]})).await;
    assert_eq!(heard_json(&mut socket).await["result"], 3.0);
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    let Message::Close(Some(frame)) = heard(&mut socket).await else { panic!("a goodbye") };
    assert_eq!(frame.code, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_socket_needs_the_same_leave_as_a_request() {
    let house = House::with(|builder| builder.http_token("secret"));
    let refused = async |headers: &[(&'static str, &str)]| match open(&house, headers).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let token = ("authorization", "Bearer secret");
    assert_eq!(refused(&[]).await, 401);
    assert_eq!(refused(&[token, ("origin", "http://evil.example")]).await, 403);
    assert_eq!(refused(&[token, ("host", "evil.example")]).await, 421);
    assert!(open(&house, &[token]).await.is_ok());
    let protocols = ("sec-websocket-protocol", "procall, bearer.secret");
    assert!(open(&house, &[protocols]).await.is_ok(), "as browsers must");
}

#[tokio::test]
async fn the_engine_says_goodbye_when_it_stops() {
    let (house, _lab, _worker) = lab().await;
    let mut socket = open(&house, &[]).await.unwrap();
    say(&mut socket, json!({"type": "ping", "nonce": 1})).await;
    assert_eq!(heard_json(&mut socket).await["type"], "pong");
    house.engine.stop().await;
    loop {
        if let Message::Close(Some(frame)) = heard(&mut socket).await {
            assert_eq!(frame.code, CloseCode::Away);
            return;
        }
    }
}

/// Carries the messages of a link over a socket, as a client's library would.
struct Carrier {
    socket: Socket,
    link: mem::MemLink,
    readiness: Readiness,
}

impl Carrier {
    fn new(socket: Socket, link: mem::MemLink) -> Self {
        let readiness = Readiness::new(link.readiness()).unwrap();
        Self { socket, link, readiness }
    }

    /// False when the link is over.
    fn outward(&mut self, cx: &mut Context<'_>) -> bool {
        let _ = self.socket.poll_ready_unpin(cx);
        // Twice, for a link leaves the second look to its readiness, which has fired already.
        let mut looks = 2;
        while looks > 0 {
            match self.link.receive() {
                Ok(Some(bytes)) => {
                    let message = Message::binary(bytes.to_vec());
                    self.socket.start_send_unpin(message).unwrap();
                }
                Ok(None) => looks -= 1,
                Err(_) => return false,
            }
        }
        let _ = self.socket.poll_flush_unpin(cx);
        true
    }
}

impl Future for Carrier {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if !this.outward(cx) {
                return Poll::Ready(());
            }
            while let Poll::Ready(message) = this.socket.poll_next_unpin(cx) {
                let Some(Ok(message)) = message else { return Poll::Ready(()) };
                if let Message::Binary(bytes) = message {
                    let room = this.link.buffer(bytes.len()).unwrap().expect("room");
                    room.copy_from_slice(&bytes);
                    this.link.commit();
                    this.link.flush().unwrap();
                }
            }
            if this.readiness.poll_news(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
