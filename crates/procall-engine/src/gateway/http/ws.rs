//! `GET /ws`: our own protocol over a WebSocket, for browsers. Text messages are its JSON form, binary ones the native form; the first message
//! says which it is to be.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use procall::transport::{Link, LinkError, LinkOptions, PeerCredentials, mem};
use procall::{Connection, Error, ErrorCode, RawService, Readiness, Side};
use tokio::time::{Interval, timeout};

use super::body::MAX_BODY;
use super::failure::Failure;
use super::visitor::Visitor;
use crate::accept::GREETING;
use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::{Host, json};
use crate::tokens::Pass;

/// The name of the subprotocol.
const PROTOCOL: &str = "procall";
/// Longest message in bytes of a client that came without a token where one is wanted: it is held before a token in it can be looked at.
const MAX_UNKNOWN: usize = 64 << 10;
/// How often a silent client is pinged. One that answers none of two is gone.
const PING: Duration = Duration::from_secs(20);
/// How long the client may take to say goodbye in turn.
const GOODBYE: Duration = Duration::from_secs(5);

pub(super) async fn upgrade(
    Extension(visitor): Extension<Arc<Visitor>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("this is no WebSocket: {}", rejection.body_text());
        Failure::request(rejection.status(), message)
    })?;
    let longest = if visitor.pass.is_some() { MAX_BODY } else { MAX_UNKNOWN };
    Ok(upgrade
        .protocols([PROTOCOL])
        .max_message_size(longest)
        .max_frame_size(longest)
        .on_upgrade(|socket| serve(socket, visitor)))
}

async fn serve(mut socket: WebSocket, visitor: Arc<Visitor>) {
    let Ok(Some(first)) = timeout(GREETING, first_message(&mut socket)).await else {
        // Nobody is left to be told, or has said anything.
        return;
    };
    // Both ends of what is said here are in this process, so the socket's own bounds are those that count.
    let options = LinkOptions { max_message: MAX_BODY, ..LinkOptions::default() };
    let Ok((near, far)) = mem::pair(&options) else { return };
    let Ok(readiness) = Readiness::new(near.readiness()) else { return };
    let far: Box<dyn Link> = Box::new(far);
    let (form, first) = match first {
        Message::Text(text) => (Form::Json, Bytes::from(text)),
        Message::Binary(bytes) => (Form::Native, bytes),
        _ => return,
    };
    let mut bridge = Bridge::new(socket, near, readiness, form);
    match form {
        Form::Json => {
            let host = Arc::new(Inside { core: visitor.core.clone(), pass: visitor.pass.clone() });
            let address = visitor.remote.to_string();
            let peer = json::serve(far, first.to_vec(), address, (None, None), host);
            // The bridge ends when either side does, and the peer when the bridge has closed its end.
            tokio::join!(bridge.run(), peer);
        }
        Form::Native => {
            // Without a pass, the session asks for a token.
            let facts = visitor.facts(Speaks::Native, visitor.pass.clone());
            let joined = visitor.core.join(far, Side::Acceptor, facts);
            match joined {
                Ok(_) => {
                    bridge.inward = Some(first);
                    bridge.run().await;
                }
                Err(error) => bridge.refuse(&error).await,
            }
        }
    }
}

/// The engine for a client that has shown a token with its request, or need not; another that it shows inside goes before.
struct Inside {
    core: Arc<Core>,
    pass: Option<Pass>,
}

impl Host for Inside {
    fn attach(&self, facts: Facts, service: Arc<dyn RawService>) -> Result<Connection, Error> {
        self.core.attach(facts, service)
    }

    fn authenticate(
        &self,
        credentials: Option<PeerCredentials>,
        token: Option<&[u8]>,
    ) -> Result<Pass, Error> {
        match (token, &self.pass) {
            (None, Some(pass)) => Ok(pass.clone()),
            _ => self.core.authenticate(credentials, token),
        }
    }

    fn strayed(&self, more: json::Counters) {
        self.core.strayed(more);
    }
}

async fn first_message(socket: &mut WebSocket) -> Option<Message> {
    loop {
        match socket.next().await?.ok()? {
            Message::Ping(_) | Message::Pong(_) => {}
            first => return Some(first),
        }
    }
}

/// What the messages of a socket are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Native,
}

/// Between a socket and a link. At most one message of each direction waits here, so a slow reader slows its writer.
struct Bridge {
    socket: WebSocket,
    link: mem::MemLink,
    readiness: Readiness,
    form: Form,
    /// A message of the client's that the link has no room for yet.
    inward: Option<Bytes>,
    /// Something has happened at the link since it was last looked at in earnest.
    news: bool,
    pings: Interval,
    /// Pings since the client was heard last.
    unheard: u32,
    ping: bool,
}

impl Bridge {
    fn new(socket: WebSocket, link: mem::MemLink, readiness: Readiness, form: Form) -> Self {
        let pings = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        Self {
            socket,
            link,
            readiness,
            form,
            inward: None,
            news: false,
            pings,
            unheard: 0,
            ping: false,
        }
    }

    /// Moves messages until either side ends; then the other is closed too.
    async fn run(&mut self) {
        let over = std::future::poll_fn(|cx| self.poll(cx)).await;
        // Sends what the engine was told last, such as the client's end.
        let _ = self.link.flush();
        self.link.close();
        match over {
            Some(frame) => self.close(frame).await,
            // The answer to the client's own goodbye, if it said one.
            None => _ = timeout(GOODBYE, self.socket.flush()).await,
        }
    }

    async fn refuse(&mut self, error: &Error) {
        let code = match error.code() {
            ErrorCode::Overloaded => close_code::AGAIN,
            _ => close_code::AWAY,
        };
        self.close(CloseFrame { code, reason: reason(error.message()) }).await;
    }

    async fn close(&mut self, frame: CloseFrame) {
        let goodbye = async {
            // A client that is gone misses nothing.
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    /// Ready when it is over: with what the client is to be told, unless it is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<CloseFrame>> {
        loop {
            let moved = match (self.poll_inward(cx), self.poll_outward(cx)) {
                (Err(over), _) | (_, Err(over)) => return Poll::Ready(over),
                (Ok(inward), Ok(outward)) => inward || outward,
            };
            if self.pings.poll_tick(cx).is_ready() {
                if self.unheard >= 2 {
                    return Poll::Ready(None);
                }
                self.unheard += 1;
                self.ping = true;
                continue;
            }
            match self.readiness.poll_news(cx) {
                Poll::Ready(Ok(())) => self.news = true,
                // The runtime is shutting down.
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending if moved => {
                    // Others of the runtime get their turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// From the client to the engine; true when something may be left that nobody will tell of again.
    fn poll_inward(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<CloseFrame>> {
        /// Messages in one go.
        const ROUND: usize = 64;
        // What the link had no room for the last time. What ended it is told by its other direction, after what was said last.
        let _ = self.link.flush();
        for _ in 0..ROUND {
            if let Some(message) = self.inward.take() {
                match self.link.buffer(message.len()) {
                    Ok(Some(room)) => {
                        room.copy_from_slice(&message);
                        self.link.commit();
                    }
                    Ok(None) => self.inward = Some(message),
                    Err(error) => return Err(Some(over(&error))),
                }
                let _ = self.link.flush();
                if self.inward.is_some() {
                    return Ok(false);
                }
            }
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(None | Some(Err(_))) => return Err(None),
            };
            self.unheard = 0;
            self.inward = match (message, self.form) {
                (Message::Text(text), Form::Json) => Some(Bytes::from(text)),
                (Message::Binary(bytes), Form::Native) => Some(bytes),
                (Message::Text(_) | Message::Binary(_), _) => {
                    let text = "a socket that began with text stays with text, and one with bytes with bytes";
                    return Err(Some(CloseFrame {
                        code: close_code::UNSUPPORTED,
                        reason: reason(text),
                    }));
                }
                (Message::Close(_), _) => return Err(None),
                (Message::Ping(_) | Message::Pong(_), _) => None,
            };
        }
        Ok(true)
    }

    /// From the engine to the client; true when something may be left that nobody will tell of again.
    fn poll_outward(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<CloseFrame>> {
        loop {
            let mut socket = pin!(&mut self.socket);
            match socket.as_mut().poll_ready(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(None),
            }
            if std::mem::take(&mut self.ping) {
                if socket.start_send(Message::Ping(Bytes::new())).is_err() {
                    return Err(None);
                }
                continue;
            }
            let message = match self.link.receive() {
                Ok(Some(bytes)) => match self.form {
                    Form::Native => Message::Binary(Bytes::copy_from_slice(bytes)),
                    Form::Json => match std::str::from_utf8(bytes) {
                        Ok(text) => Message::Text(text.into()),
                        // Whoever writes JSON for a link writes text.
                        Err(_) => return Err(None),
                    },
                },
                // A link that found little the last time leaves the next look to its readiness, which fires only once.
                Ok(None) if std::mem::take(&mut self.news) => continue,
                Ok(None) => {
                    return match socket.as_mut().poll_flush(cx) {
                        Poll::Ready(Err(_)) => Err(None),
                        _ => Ok(false),
                    };
                }
                Err(error) => return Err(Some(over(&error))),
            };
            if socket.start_send(message).is_err() {
                return Err(None);
            }
        }
    }
}

/// What the client is told when its link ends.
fn over(error: &LinkError) -> CloseFrame {
    match error {
        LinkError::Empty => {
            CloseFrame { code: close_code::UNSUPPORTED, reason: reason("a message of zero bytes") }
        }
        LinkError::TooLarge { .. } => {
            CloseFrame { code: close_code::SIZE, reason: reason(&error.to_string()) }
        }
        _ => CloseFrame {
            code: close_code::AWAY,
            reason: reason("the engine has closed the connection"),
        },
    }
}

/// A reason has at most 123 bytes.
fn reason(text: &str) -> axum::extract::ws::Utf8Bytes {
    const MAX: usize = 123;
    let mut end = text.len().min(MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
