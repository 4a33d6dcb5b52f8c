//! Peers that speak JSON: the engine dialect with our own form, and the roadmap dialect.
//!
//! Each such peer has a native connection to the engine of its own, and one task that translates between the two; sections 18 and 19 of the
//! specification say how. What both sides rely on:
//!
//! - A registration of the peer's is [`Connection::register`]. Where it stands, [`procall.engine.self`](register::SELF) says which `id` and
//!   `name` the peer has: names are labels, a second `example_client` gets a suffix. Where it is refused, the error's `fields` have paths such
//!   as `/methods/3/params_schema`.
//! - A call of the peer's has the metadata `to` when it names one; a call to the peer has the metadata `from`, the caller's id.
//! - A notification of the peer's has the metadata `to`, or `broadcast: true` when it names nobody. One for everybody keeps `broadcast`
//!   on its way to the peer.
//! - The end of the link closes the connection.

mod engine;
mod inbound;
mod inbox;
mod names;
mod object;
mod outbound;
mod peer;
mod read;
mod ready;
mod register;
mod streams;
mod task;
#[cfg(test)]
mod tests;
mod wire;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use procall::json::JsonMessage;
use procall::transport::{Link, PeerCredentials};
use procall::wire::Reader;
use procall::{Error, Readiness};

pub(crate) use object::{Object, params_from_json, result_to_json, value_from_json};
pub(crate) use outbound::or_nil;

pub(crate) use self::inbox::MAX_NOTIFICATIONS;

use self::inbox::Inbox;
use self::peer::Peer;
use self::read::Received;
use self::ready::Ready;
use self::task::{Gate, Parts};
use self::wire::Wire;
use super::Host;
use crate::facts::{Facts, Speaks};
use crate::tokens::Pass;

/// How long a peer of the roadmap dialect, and one that has said nothing of sense yet, may be silent with no call under way.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// What was counted of one link, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Answers to calls that nobody had made.
    pub(crate) unasked: u64,
    /// Answers that came after their callers had gone.
    pub(crate) late: u64,
    /// Notifications for the peer that were dropped.
    pub(crate) dropped: u64,
}

impl Counters {
    /// What has come since it was like this before.
    fn since(self, before: Self) -> Self {
        Self {
            unasked: self.unasked - before.unasked,
            late: self.late - before.late,
            dropped: self.dropped - before.dropped,
        }
    }
}

/// Serves a peer that speaks JSON, from its first message on, until its link ends; then its connection to the engine is closed too. One that is
/// known to be let in brings its pass; others are looked at by what the kernel and they themselves say.
pub(crate) async fn serve(
    link: Box<dyn Link>,
    first: Vec<u8>,
    address: String,
    who: (Option<PeerCredentials>, Option<Pass>),
    host: Arc<dyn Host>,
) -> Counters {
    serve_with(link, first, address, who, host, IDLE).await
}

/// Longest name of a service, in bytes.
const MAX_NAME: usize = 255;

/// The same with another time for [`IDLE`].
pub(crate) async fn serve_with(
    link: Box<dyn Link>,
    first: Vec<u8>,
    address: String,
    (credentials, own): (Option<PeerCredentials>, Option<Pass>),
    host: Arc<dyn Host>,
    idle: Duration,
) -> Counters {
    let Ok(readiness) = Readiness::new(link.readiness()) else {
        // No descriptor is left to watch the link with, so nothing can be told either.
        return Counters::default();
    };
    let mut wire = Wire::new(link);
    let received = Received::read(&first, false);
    drop(first);
    // Its first message says who it is, or nothing does.
    let admitted = match own {
        Some(pass) => Ok(pass),
        None => host.authenticate(credentials, token_of(&received).as_deref()),
    };
    let pass = match admitted {
        Ok(pass) => pass,
        Err(error) => {
            wire.send(refusal(received, &error));
            wire.close();
            return Counters::default();
        }
    };
    wire.widen();
    let sense = tokio::time::timeout(idle, first_of_sense(&mut wire, &readiness, received)).await;
    let Ok(Some(received)) = sense else {
        wire.close();
        return Counters::default();
    };
    let roadmap = matches!(received, Received::Request(_));
    let facts = Facts {
        speaks: if roadmap { Speaks::Roadmap } else { Speaks::Json },
        address,
        credentials,
        hears_broadcasts: !roadmap && hears(&received),
        pass: Some(pass),
        want: if roadmap { None } else { want_of(&received) },
    };
    let ready = Arc::new(Ready::default());
    let inbox = Arc::new(Inbox::new(ready.clone()));
    let native = match host.attach(facts, inbox.clone()) {
        Ok(native) => native,
        Err(error) => {
            wire.send(refusal(received, &error));
            wire.close();
            return Counters::default();
        }
    };
    let idle = roadmap.then_some(idle);
    let mut gate = Gate::new(Parts { wire, readiness, native, inbox, ready, idle, host });
    gate.take(received);
    gate.await
}

/// The first message that says which dialect the peer speaks. Those before it are answered with errors; none when the link ends.
async fn first_of_sense(
    wire: &mut Wire,
    readiness: &Readiness,
    mut received: Received,
) -> Option<Received> {
    loop {
        let Received::Refused(refused) = received else { return Some(received) };
        wire.send(Peer::new().refused(&refused));
        received = poll_fn(|cx| {
            loop {
                if wire.flush().is_err() {
                    return Poll::Ready(None);
                }
                if wire.has_room() {
                    match wire.receive(|bytes| Received::read(bytes, false)) {
                        Ok(Some(received)) => return Poll::Ready(Some(received)),
                        Ok(None) => {}
                        Err(_) => return Poll::Ready(None),
                    }
                }
                match readiness.poll_news(cx) {
                    Poll::Ready(Ok(())) => wire.note_news(),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?;
    }
}

/// The token that a hello shows: text, or bytes.
fn token_of(received: &Received) -> Option<Vec<u8>> {
    let value = told(received, "token")?;
    let text = Reader::new(value).text("a token").map(|text| text.as_bytes().to_vec());
    text.or_else(|_| Reader::new(value).bin("a token").map(<[u8]>::to_vec)).ok()
}

/// The service that a hello says it looks for.
fn want_of(received: &Received) -> Option<String> {
    let text = Reader::new(told(received, "want")?).text("a service").ok()?;
    (!text.is_empty() && text.len() <= MAX_NAME).then(|| text.to_owned())
}

/// What a hello that comes first says under this name, as MessagePack.
fn told<'a>(received: &'a Received, name: &str) -> Option<&'a [u8]> {
    let Received::Messages(messages) = received else { return None };
    let JsonMessage::Hello { info, .. } = messages.first()? else { return None };
    let mut reader = Reader::new(info);
    for _ in 0..reader.map().ok()? {
        let key = reader.text("a key of the info map").ok()?;
        let value = reader.skip_any().ok()?;
        if key == name {
            return Some(value);
        }
    }
    None
}

/// Whether a peer that begins like this wants notifications that are for everybody.
fn hears(received: &Received) -> bool {
    let Received::Messages(messages) = received else { return false };
    messages.iter().all(|message| match message {
        JsonMessage::Hello { broadcasts, .. } => *broadcasts != Some(false),
        JsonMessage::Register { document, .. } => {
            let document = serde_json::from_slice::<serde_json::Value>(document);
            document.map_or(true, |document| document["broadcasts"] != false)
        }
        _ => true,
    })
}

/// Whether a first message is of a peer that speaks JSON.
pub(crate) fn is_json(first: &[u8]) -> bool {
    matches!(first.first(), Some(b'{' | b'['))
}

/// What a peer is told that is refused before anything it says was looked at.
pub(crate) fn refused(error: &Error) -> String {
    Peer::new().error(None, error.code().name(), error)
}

/// What a peer is told that the engine does not take.
fn refusal(received: Received, error: &Error) -> String {
    match received {
        Received::Request(request) => request.asker.answer(Err(error)),
        Received::Messages(messages) => {
            let mut peer = Peer::new();
            match messages.first() {
                Some(JsonMessage::Hello { .. }) => {
                    let fault = Object::message("fault").text("code", error.code().name());
                    return fault.text("text", error.message()).finish();
                }
                Some(JsonMessage::Register { id, .. }) => peer.seed = id.is_none(),
                _ => {}
            }
            let id = messages.first().and_then(JsonMessage::id);
            peer.error(id, error.code().name(), error)
        }
        Received::Refused(_) => Peer::new().error(None, error.code().name(), error),
    }
}
