//! The state two peers share.

mod assembly;
mod calling;
mod drain;
mod event;
mod handshake;
mod liveness;
mod long;
mod outbox;
mod packing;
mod registering;
mod secrets;
mod serving;
mod streams;
mod window;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use hashbrown::HashMap;

pub use event::{
    Blocked, Body, CallId, Counters, Event, Held, IncomingCall, Options, Payload, PeerInfo, Reason,
};
pub use handshake::clean_name;
pub use secrets::Secrets;

use assembly::{Assembly, Head};
use calling::Calling;
use drain::Drain;
use event::Data;
use liveness::Liveness;
use outbox::Outbox;
use packing::Packing;
use serving::Serving;

use crate::message::{VERSION, VERSION_MIN};
use crate::{ErrorCode, Failure, Fault, Heartbeat, Limits, Message, Time};

/// How this side takes part in a session.
///
/// ```
/// use procall_proto::{Config, Heartbeat};
///
/// let config = Config { name: "calc".into(), heartbeat: Some(Heartbeat::default()), ..Config::default() };
/// assert!(config.token.is_none());
/// ```
#[derive(Clone)]
pub struct Config {
    /// Own id, told to the peer; empty for none.
    pub id: String,
    /// What this side's part of the session is called where chains of calls name it, told to the peer; empty for none. Fresh for every session,
    /// and not to be guessed.
    pub mark: String,
    /// Own name for people, told to the peer; empty for none.
    pub name: String,
    /// Own implementation, told to the peer.
    pub runtime: String,
    /// Own process id, told to the peer; 0 for none.
    pub pid: u32,
    /// The service that an initiator is there for; empty for none. An engine resolves bare method names in it first, and tells what it has.
    pub want: String,
    /// Optional abilities, told to the peer.
    pub features: Vec<String>,
    /// Whether long messages travel compressed (LZ4), if the peer knows how and wants it too; off by default.
    ///
    /// It saves bytes on slow links and costs time on fast ones: messages from 1 KiB on are packed one by one, and sent so when that is
    /// shorter. Nothing is before both sides are known to each other. Do not use it where an attacker can both mix text of his into
    /// messages with secrets and see how long these are.
    pub compression: bool,
    /// A secret. An initiator sends it; an acceptor that has one refuses a peer without it.
    pub token: Option<Vec<u8>>,
    /// For an acceptor that knows several secrets: an initiator must show one of them, and [`PeerInfo::secret`] says which it was.
    pub secrets: Secrets,
    /// When to ask the peer for a sign of life; `None`, the default, never asks.
    pub heartbeat: Option<Heartbeat>,
    /// The bounds.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: String::new(),
            mark: String::new(),
            name: String::new(),
            runtime: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            pid: 0,
            want: String::new(),
            features: Vec::new(),
            compression: false,
            token: None,
            secrets: Secrets::default(),
            heartbeat: None,
            limits: Limits::default(),
        }
    }
}

/// All but the secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("id", &self.id)
            .field("mark", &self.mark)
            .field("name", &self.name)
            .field("runtime", &self.runtime)
            .field("pid", &self.pid)
            .field("want", &self.want)
            .field("features", &self.features)
            .field("compression", &self.compression)
            .field("token", &self.token.as_ref().map(|_| "a secret"))
            .field("secrets", &self.secrets)
            .field("heartbeat", &self.heartbeat)
            .field("limits", &self.limits)
            .finish()
    }
}

#[derive(Debug)]
enum Stage {
    /// The hello or welcome of the peer is awaited until the moment given.
    Greeting { until: Time },
    /// Both know each other.
    Open,
    /// Nothing more is sent or accepted; the code is what later calls are told.
    Ended(ErrorCode),
}

/// The protocol state of one side of a link.
///
/// Its methods come in families. **Input**: [`handle_message`](Self::handle_message), [`handle_timeout`](Self::handle_timeout),
/// [`handle_closed`](Self::handle_closed). **Actions**: [`call`](Self::call), [`reply`](Self::reply), [`item`](Self::item) and their like.
/// **Output**: after any of these, take events with [`poll_event`](Self::poll_event) until it gives none,
/// take messages with [`transmit_len`](Self::transmit_len) and [`transmit_into`](Self::transmit_into) until there are none,
/// and arrange to come back at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    config: Config,
    initiator: bool,
    stage: Stage,
    peer: Option<PeerInfo>,
    outbox: Outbox,
    /// There when both sides want compression.
    packing: Option<Box<Packing>>,
    events: VecDeque<Event<'static>>,
    calling: HashMap<CallId, Calling>,
    serving: HashMap<CallId, Serving>,
    assembly: Assembly,
    liveness: Liveness,
    drain: Drain,
    going_away: bool,
    next_id: CallId,
    last_peer_id: CallId,
    /// Id of our registration that waits for its answer.
    registering: Option<CallId>,
    /// No deadline is earlier than this; it may be too early, which costs one look.
    next_deadline: Time,
    counters: Counters,
}

impl Session {
    /// The side that opened the link: it speaks first.
    pub fn initiator(config: Config, now: Time) -> Self {
        let mut info = Vec::new();
        handshake::write_info(&config, true, &mut info);
        let mut session = Self::new(config, true, now);
        session.outbox.control(&Message::Hello { min: VERSION_MIN, max: VERSION, info: &info });
        session
    }

    /// The side that accepted the link: it waits to be spoken to.
    pub fn acceptor(config: Config, now: Time) -> Self {
        Self::new(config, false, now)
    }

    fn new(config: Config, initiator: bool, now: Time) -> Self {
        Self {
            initiator,
            stage: Stage::Greeting { until: now + config.limits.handshake },
            peer: None,
            outbox: Outbox::new(),
            packing: None,
            events: VecDeque::new(),
            calling: HashMap::new(),
            serving: HashMap::new(),
            assembly: Assembly::new(config.limits.max_assembly),
            liveness: Liveness::new(config.heartbeat.clone(), now),
            drain: Drain::No,
            going_away: false,
            next_id: if initiator { 1 } else { 2 },
            last_peer_id: 0,
            registering: None,
            next_deadline: Time::NEVER,
            counters: Counters::default(),
            config,
        }
    }

    // ---- getters

    /// What the peer said of itself; `None` until [`Event::Ready`].
    pub fn peer(&self) -> Option<&PeerInfo> {
        self.peer.as_ref()
    }

    /// Whether the handshake is done and the session not over.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Whether the session is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Whether the peer has missed its heartbeats.
    pub fn is_suspected(&self) -> bool {
        self.liveness.is_suspected()
    }

    /// Calls of our own that wait for their outcome.
    pub fn calling(&self) -> usize {
        self.calling.len()
    }

    /// Whether another call may be started: fewer are in flight than this side and the peer take.
    pub fn has_room(&self) -> bool {
        self.calling.len() < self.max_calls_out()
    }

    /// Whether the peer has not yet answered this call of ours, be its outcome known or not.
    pub fn is_outstanding(&self, id: CallId) -> bool {
        self.calling.contains_key(&id)
    }

    /// Bytes that wait to be sent. A driver whose link takes nothing more stops reading too:
    /// what a peer sends without reading the answers would pile up here.
    pub fn queued(&self) -> usize {
        self.outbox.queued() + self.packing.as_ref().map_or(0, |packing| packing.queued())
    }

    /// Numbers for people.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The bounds in force on this side.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    fn is_own_id(&self, id: CallId) -> bool {
        (id % 2 == 1) == self.initiator
    }

    fn take_id(&mut self) -> CallId {
        let id = self.next_id;
        self.next_id += 2;
        id
    }

    fn wake_at(&mut self, time: Time) {
        self.next_deadline = self.next_deadline.min(time);
    }

    /// The peer's stream window; none before it is known.
    fn peer_window(&self) -> (u32, u32) {
        self.peer.as_ref().map_or((0, 0), |peer| (peer.stream_items, peer.stream_bytes))
    }

    fn max_calls_out(&self) -> usize {
        let ours = self.config.limits.max_calls;
        self.peer.as_ref().map_or(ours, |peer| ours.min(peer.max_calls))
    }

    /// The length of a chunked body when it is allowed.
    fn body_len(&self, total: u64) -> Option<usize> {
        usize::try_from(total).ok().filter(|&total| total <= self.config.limits.max_body)
    }

    /// The length of a body that must travel in chunks.
    /// Whether a body of so many bytes goes in one message.
    pub fn is_short(&self, len: usize) -> bool {
        len <= self.outbox.chunk()
    }

    fn is_long(&self, body: &Body<'_>) -> Option<u64> {
        let len = body.bytes().len();
        (len > self.outbox.chunk()).then_some(len as u64)
    }

    fn into_bytes(body: Body<'_>) -> Bytes {
        match body.data {
            Data::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Data::Owned(bytes) => bytes,
        }
    }

    // ---- input

    /// Takes one message from the link. A fault ends the session: its message is in the outbox, every call has its outcome as an event.
    pub fn handle_message<'a>(
        &mut self,
        now: Time,
        bytes: &'a [u8],
    ) -> Result<Option<Event<'a>>, Fault> {
        let result = self.handle_bytes(now, bytes);
        if let Err(fault) = &result {
            self.end(fault.clone());
        }
        result
    }

    fn handle_bytes<'a>(&mut self, now: Time, bytes: &'a [u8]) -> Result<Option<Event<'a>>, Fault> {
        if self.is_ended() {
            return Ok(None);
        }
        let limits = &self.config.limits;
        let greeting = matches!(self.stage, Stage::Greeting { .. });
        let max = if greeting && !self.initiator {
            limits.max_handshake_message
        } else {
            limits.max_message
        };
        if bytes.len() > max {
            return Err(Fault::protocol(format!(
                "a message of {} bytes, the limit is {max}",
                bytes.len()
            )));
        }
        let message = match Message::decode(bytes) {
            Ok(Some(message)) => message,
            Ok(None) if greeting => {
                return Err(Fault::protocol("a message came before the handshake was done"));
            }
            Ok(None) => {
                self.counters.unknown += 1;
                return Ok(None);
            }
            Err(_) if matches!(bytes.first(), Some(b'{' | b'[')) => {
                return Err(Fault::protocol(
                    "this connection speaks the native protocol; JSON is served by an engine",
                ));
            }
            Err(error) => return Err(Fault::protocol(error.to_string())),
        };
        match self.stage {
            Stage::Ended(_) => Ok(None),
            Stage::Greeting { .. } => self.handle_greeting(message),
            Stage::Open => self.handle_open(now, message),
        }
    }

    fn handle_greeting(&mut self, message: Message<'_>) -> Result<Option<Event<'static>>, Fault> {
        let wire = |error: crate::wire::WireError| Fault::protocol(error.to_string());
        let peer = match message {
            Message::Hello { min, max, info } if !self.initiator => {
                let version = handshake::choose_version(min, max)?;
                let (mut peer, token) = handshake::read_info(info).map_err(wire)?;
                peer.secret = handshake::check_token(&self.config, token)?;
                let mut info = Vec::new();
                handshake::write_info(&self.config, false, &mut info);
                self.outbox.control(&Message::Welcome { version, info: &info });
                peer.version = version;
                peer
            }
            Message::Welcome { version, info } if self.initiator => {
                if !(VERSION_MIN..=VERSION).contains(&version) {
                    return Err(Fault::new(
                        ErrorCode::VersionMismatch,
                        format!("the peer chose protocol {version}, which was not offered"),
                    ));
                }
                let (mut peer, _) = handshake::read_info(info).map_err(wire)?;
                peer.version = version;
                peer
            }
            Message::Fault { code, text } => return Err(remote_fault(code, text)),
            _ => return Err(Fault::protocol("a message came before the handshake was done")),
        };
        let room = peer.max_message.saturating_sub(handshake::HEADER_ROOM);
        self.outbox.open(self.config.limits.chunk.min(peer.chunk).min(room));
        let agreed = self.config.compression
            && peer.features.iter().any(|feature| feature == packing::FEATURE);
        self.packing = agreed.then(|| Box::new(Packing::new(!self.initiator)));
        self.peer = Some(peer);
        self.stage = Stage::Open;
        self.open_windows();
        self.announce_early_drain();
        Ok(Some(Event::Ready))
    }

    fn handle_open<'a>(
        &mut self,
        now: Time,
        message: Message<'a>,
    ) -> Result<Option<Event<'a>>, Fault> {
        match message {
            Message::Reply { id, encoding, total: None, body, .. } => {
                self.handle_reply(id, encoding, Payload::Borrowed(body))
            }
            Message::Call(header, body) => self.handle_call(now, &header, body),
            Message::Reply { id, encoding, total: Some(total), body, .. } => {
                self.begin_long(now, id, Head::Reply { encoding }, total, body)
            }
            Message::Error { id, code, executed, encoding, body } => {
                self.handle_error(id, code, executed, encoding, body)
            }
            Message::Notify(header, body) => self.handle_notify(now, header, body),
            Message::Item { id, encoding, total, body, .. } => {
                let len = total.unwrap_or(body.len() as u64);
                let wanted = if self.is_own_id(id) {
                    self.receive_item_out(id, len)?
                } else {
                    self.receive_item_in(id, len)?
                };
                if wanted && self.assembly.is_open(id) {
                    return Err(Fault::protocol(format!(
                        "an item of call {id} overtook the one before it"
                    )));
                }
                match total {
                    _ if !wanted => Ok(None),
                    Some(total) => self.begin_long(now, id, Head::Item { encoding }, total, body),
                    None if self.is_own_id(id) => {
                        Ok(self.item_out(id, encoding, Payload::Borrowed(body)))
                    }
                    None => Ok(Some(Event::Item {
                        id,
                        token: None,
                        encoding,
                        body: Payload::Borrowed(body),
                    })),
                }
            }
            Message::End { id, count } if self.is_own_id(id) => self.handle_end_out(id, count),
            Message::End { id, count } => self.handle_end_in(now, id, count),
            Message::Credit { id, items, bytes } if self.is_own_id(id) => {
                Ok(self.calling_credit(id, items, bytes))
            }
            Message::Credit { id, items, bytes } => Ok(self.serving_credit(id, items, bytes)),
            Message::Progress { id, done, total, text } => {
                Ok(self.calling_token(id).map(|token| Event::Progress {
                    id,
                    token,
                    done,
                    total,
                    text: Cow::Borrowed(text),
                }))
            }
            Message::Cancel { id, reason } => self.handle_cancel(id, reason),
            Message::Ping { nonce } => self.handle_ping(now, nonce).map(|()| None),
            Message::Pong { nonce } => Ok(self.handle_pong(now, nonce)),
            Message::Goaway { step, last_id, text } => Ok(self.handle_goaway(step, last_id, text)),
            Message::Chunk { id, last, body } => {
                let chunked = self.assembly.chunk(id, last, body);
                self.handle_chunked(now, id, chunked)
            }
            Message::Register { id, encoding, body } => {
                if id == 0 || self.is_own_id(id) || id <= self.last_peer_id {
                    return Err(Fault::protocol(format!("registration {id} is out of order")));
                }
                self.last_peer_id = id;
                Ok(Some(Event::Registration { id, encoding, body: Payload::Borrowed(body) }))
            }
            Message::Registered { id, code, body } => self.handle_registered(id, code, body),
            Message::Fault { code, text } => Err(remote_fault(code, text)),
            Message::Packed { len, body } => self.handle_packed(now, len, body),
            Message::Hello { .. } | Message::Welcome { .. } => {
                Err(Fault::protocol("a second handshake came"))
            }
        }
    }

    /// Does what is due. Call it at or after [`Session::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Time) {
        match self.stage {
            Stage::Greeting { until } if now >= until => {
                self.end(Fault::protocol("the handshake took too long"));
                return;
            }
            Stage::Ended(_) => return,
            Stage::Greeting { .. } | Stage::Open => {}
        }
        if now >= self.next_deadline {
            // Giving a call up schedules its verdict, so the bound is set anew around the look.
            self.next_deadline = Time::NEVER;
            let next = self.expire_calls(now).min(self.expire_serving(now));
            self.wake_at(next);
        }
        self.beat(now);
    }

    /// The link is gone. Every call gets its outcome as an event.
    pub fn handle_closed(&mut self) {
        self.finish(ErrorCode::ConnectionLost, "the connection was lost");
    }

    /// This side ends the session by choice: every call gets its outcome as an event.
    pub fn close(&mut self) {
        self.finish(ErrorCode::Closed, "the connection was closed on this side");
    }

    fn end(&mut self, fault: Fault) {
        if self.is_ended() {
            return;
        }
        self.finish(ErrorCode::ConnectionLost, &format!("the connection ended: {}", fault.message));
        if !fault.remote {
            let (code, text) = (fault.code.number().into(), &*fault.message);
            self.outbox.control(&Message::Fault { code, text });
        }
        self.events.push_back(Event::Ended(fault));
    }

    fn finish(&mut self, code: ErrorCode, message: &str) {
        if self.is_ended() {
            return;
        }
        self.fail_all_calls(code, message);
        if self.registering.take().is_some() {
            self.events.push_back(Event::Registered { result: Err(Failure::local(code, message)) });
        }
        self.drop_all_serving();
        self.stage = Stage::Ended(code);
        self.assembly.clear();
        self.outbox.clear();
        if let Some(packing) = &mut self.packing {
            packing.clear();
        }
    }

    // ---- output

    /// The next thing that happened without a message of its own: ends, time-outs, credit.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.events.pop_front()
    }

    /// When [`Session::handle_timeout`] should run next, at the latest; [`Time::NEVER`] for never.
    pub fn poll_timeout(&self) -> Time {
        let own = match self.stage {
            Stage::Greeting { until } => until,
            Stage::Open => self.liveness.timeout(),
            Stage::Ended(_) => return Time::NEVER,
        };
        own.min(self.next_deadline)
    }

    /// The length of the next message to send, if there is one.
    pub fn transmit_len(&mut self) -> Option<usize> {
        match &mut self.packing {
            None => self.outbox.next_len(),
            Some(packing) => packing.next_len(&mut self.outbox),
        }
    }

    /// Writes the next message; `into` has exactly the length that [`Session::transmit_len`] gave.
    pub fn transmit_into(&mut self, into: &mut [u8]) {
        match &mut self.packing {
            None => self.outbox.take(into),
            Some(packing) => packing.take(&mut self.outbox, into),
        }
    }

    /// What the message holds that [`Session::transmit_len`] told of: see [`Body::holding`]. Taking the message lets go of it.
    pub fn transmit_held(&self) -> Held {
        self.outbox.next_held().cloned().flatten()
    }

    /// The next message to send, in a buffer of its own: for tests and tools.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        let mut message = vec![0; self.transmit_len()?];
        self.transmit_into(&mut message);
        Some(message)
    }
}

/// The first `max` bytes of a text, less where that would split a character.
fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn remote_fault(code: u64, text: &str) -> Fault {
    let code = u16::try_from(code)
        .ok()
        .and_then(ErrorCode::from_number)
        .unwrap_or(ErrorCode::ProtocolError);
    Fault { code, message: text.to_owned(), remote: true }
}
