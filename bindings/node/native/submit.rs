//! Commands from JavaScript: many in one buffer.

use std::time::Duration;

use napi_derive::napi;
use procall::{
    Body, CallOptions, Deadline, Encoding, OnTimeout, Request, coalesce, start_retrying, with_call,
    with_remaining,
};

use crate::errors;
use crate::records::{
    ANSWER, FAIL, FOR_ENGINE, IDEMPOTENT, ITEMS_IN, ITEMS_OUT, KEY, NONE, NOTIFY, RESTART, START,
    TO, WANTS_PROGRESS,
};
use crate::served::Served;
use crate::state::{self, State};

/// Carries out the commands in `commands`; the records are drawn in [`records`](crate::records). True when a turn should be made at once,
/// because something ended that never left.
#[napi]
pub(crate) fn submit(commands: &[u8]) -> napi::Result<bool> {
    state::with(|state| {
        let mut reader = Reader { rest: commands };
        let carried_out = coalesce(|| {
            while !reader.rest.is_empty() {
                state.command(&mut reader)?;
            }
            Some(())
        });
        carried_out.ok_or_else(|| napi::Error::from_reason("a command is cut off or unknown"))?;
        Ok(!state.woken.is_empty())
    })
}

impl State {
    /// Carries out one command; `None` when its bytes make no sense.
    fn command(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let [kind, flags] = reader.take()?;
        let method_len = u16::from_le_bytes(reader.take()?);
        let target = reader.u32()?;
        match kind {
            ANSWER | FAIL => {
                let len = reader.u32()?;
                let body = reader.bytes(len as usize)?;
                match kind {
                    ANSWER => self.answer(target as usize, body),
                    _ => self.fail(target as usize, &errors::from_map(body)),
                }
            }
            START | NOTIFY => {
                let (id, params_len, meta_len) = (reader.u32()?, reader.u32()?, reader.u32()?);
                let (timeout, inherited) = (reader.f64()?, reader.f64()?);
                let serving = reader.u32()?;
                let method = std::str::from_utf8(reader.bytes(method_len.into())?).ok()?;
                let params = reader.bytes(params_len as usize)?;
                let meta = reader.bytes(meta_len as usize)?.to_vec();
                let encoding = if params.is_empty() { Encoding::None } else { Encoding::Msgpack };
                let flag = |flag: u8| flags & flag != 0;
                let key = if flag(KEY) { Some(reader.text()?.into()) } else { None };
                let to = if flag(TO) { Some(reader.text()?.into()) } else { None };
                let (version, wait, idempotency_key, retries) = match flag(FOR_ENGINE) {
                    true => {
                        let (version, wait) = (reader.text()?, reader.take::<1>()? == [1]);
                        (version, wait, reader.text()?, reader.u32()?)
                    }
                    false => ("", false, "", NONE),
                };
                let given = |text: &str| (!text.is_empty()).then(|| text.into());
                let options = CallOptions {
                    deadline: deadline(timeout),
                    idempotent: flag(IDEMPOTENT),
                    meta,
                    items_in: flag(ITEMS_IN as u8),
                    items_out: flag(ITEMS_OUT as u8),
                    key,
                    to,
                    version: given(version),
                    wait,
                    on_timeout: if flag(RESTART) { OnTimeout::Restart } else { OnTimeout::Return },
                    retries: (retries != NONE).then_some(retries),
                    idempotency_key: given(idempotency_key),
                    chain: None,
                };
                let items_out = options.items_out;
                let request = Request { method, body: Body::new(encoding, params), options };
                let channel =
                    self.channels.get(target as usize).map(|channel| channel.calls.clone());
                if kind == NOTIFY {
                    if let Some(channel) = channel {
                        // At most once, unacknowledged: what cannot be sent is dropped.
                        let _ = channel.notify(request);
                    }
                    return Some(());
                }
                let started = match &channel {
                    Some(channel) if inherited.is_nan() => start_retrying(channel, request),
                    Some(channel) => {
                        let start = || start_retrying(channel, request);
                        let left = millis(inherited);
                        match self.served.get(serving as usize).and_then(Served::place) {
                            Some((connection, id)) => with_call(connection, Some(id), left, start),
                            None => with_remaining(left, start),
                        }
                    }
                    None => Err(errors::closed("client")),
                };
                self.begin_call(id as usize, started, items_out, flag(WANTS_PROGRESS));
            }
            _ => return None,
        }
        Some(())
    }
}

/// Milliseconds as JavaScript says them: not a number is the default, infinity is never.
fn deadline(timeout: f64) -> Deadline {
    if timeout.is_nan() {
        return Deadline::Default;
    }
    millis(timeout).map_or(Deadline::Never, Deadline::After)
}

fn millis(millis: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(millis.max(0.0) / 1000.0).ok()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// A length of 32 bits, and so many bytes of UTF-8.
    fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()?;
        std::str::from_utf8(self.bytes(len as usize)?).ok()
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }
}
