//! Outcomes of calls with an idempotency key: the same call once more is answered with them, and not executed again.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall::{Body, Encoded, Error, ErrorCode, Executed, Pending, Queued};

#[cfg(test)]
mod tests;

/// How long it is known that a call was made.
const FOR: Duration = Duration::from_secs(5 * 60);
/// Calls under way and outcomes in all. For one more, whoever has the most loses the oldest outcome; see [`Remembered::make_room`].
const KEYS: usize = 10_000;
/// The same of one caller: for one more, its own oldest outcome goes.
const KEYS_EACH: usize = KEYS / 2;
/// Bytes of all outcomes; beyond that, whoever has the most loses the oldest ones.
const BYTES: usize = 64 << 20;
/// The same of one caller, whose own oldest ones go.
const BYTES_EACH: usize = BYTES / 2;
/// Calls that are known to have been made, those included whose outcome is gone, some 100 bytes each. None of them is forgotten before its time:
/// further calls with new keys are refused with OVERLOADED meanwhile.
const KNOWN: usize = 200_000;
/// The same of one caller.
const KNOWN_EACH: usize = KNOWN / 4;
/// Longest result that is remembered. Of a longer one it is known that there was one, and asking for it again is RESULT_TOO_LARGE.
const LONGEST: usize = 1 << 20;
/// Longest key, in bytes.
const MAX_KEY: usize = 255;

type Outcome = Result<Encoded, Error>;

/// Which call it is: who makes it, of which method, and which of them.
#[derive(Debug, Clone)]
pub(super) struct Key {
    caller: Arc<str>,
    method: Arc<str>,
    key: Arc<str>,
}

impl Key {
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a key that is none.
    pub(super) fn new(caller: String, method: &Arc<str>, key: &str) -> Result<Self, Error> {
        if key.is_empty() || key.len() > MAX_KEY {
            let length = key.len();
            return Err(Error::invalid(format!(
                "an idempotency key has 1 to {MAX_KEY} bytes, this one has {length}"
            )));
        }
        Ok(Self { caller: caller.into(), method: method.clone(), key: key.into() })
    }
}

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: this is the first call with it, and [`Remembered::end`] is to be told how it ends.
    First,
    /// The first one still runs.
    Running(Arc<Awaited>),
    /// The first one has ended so.
    Ended(Outcome),
}

/// The calls with a key that run or have ended lately.
///
/// There are two bounds, because there are two promises. That a call is not executed twice within [`FOR`] is never given up: what it takes is
/// small, and when that is used up new keys are refused. That its result can be had again is given up for newer ones, and whoever asks for
/// it is told so.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    entries: HashMap<Print, Entry>,
    callers: HashMap<Arc<str>, Held>,
    /// Callers by their keys and by their bytes, to find who has most of them.
    by_keys: BTreeSet<(usize, Arc<str>)>,
    by_bytes: BTreeSet<(usize, Arc<str>)>,
    /// Those that have ended, oldest first, and whose they are.
    ended: VecDeque<(Instant, Print, Arc<str>)>,
    keys: usize,
    bytes: usize,
    hashers: (RandomState, RandomState),
}

/// Stands for a key: a hash that nobody outside can foresee, and long enough that no two are the same.
type Print = (u64, u64);

#[derive(Debug)]
struct Entry {
    /// A hash of the params, so that a key is not taken for another call.
    params: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Runs(Arc<Awaited>),
    Ended(Outcome),
    /// It has made room; of an error its code is left.
    Gone(ErrorCode, Executed),
}

/// What one caller has.
#[derive(Debug, Default, Clone)]
struct Held {
    running: usize,
    /// Those that have ended, oldest first; of the first `gone` the outcome has made room.
    ended: VecDeque<(Instant, Print)>,
    gone: usize,
    bytes: usize,
}

impl Held {
    /// Those that run or have an outcome.
    fn keys(&self) -> usize {
        self.running + self.outcomes()
    }

    fn outcomes(&self) -> usize {
        self.ended.len() - self.gone
    }
}

impl Remembered {
    /// Looks for the key, and enters it when it is new.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT when the key belongs to a call with other params, OVERLOADED when too many such calls run or are known.
    pub(super) fn begin(
        &mut self,
        key: &Key,
        params: &Body<'_>,
        now: Instant,
    ) -> Result<Found, Error> {
        self.forget_old(now);
        let print = self.print(key);
        let params = self.hashers.0.hash_one((params.encoding().number(), params.bytes()));
        if let Some(entry) = self.entries.get(&print) {
            if entry.params != params {
                return Err(Error::invalid(format!(
                    "the idempotency key \"{}\" belongs to a call of {} with other arguments; use a new key for a new call",
                    key.key, key.method
                )));
            }
            return Ok(match &entry.stage {
                Stage::Runs(awaited) => Found::Running(awaited.clone()),
                Stage::Ended(outcome) => Found::Ended(outcome.clone()),
                Stage::Gone(code, executed) => Found::Ended(Err(gone(*code, *executed))),
            });
        }
        self.make_room(&key.caller, now)?;
        self.entries.insert(print, Entry { params, stage: Stage::Runs(Arc::default()) });
        self.change(&key.caller, |held| held.running += 1);
        Ok(Found::First)
    }

    /// The first call with this key has ended. One that was not executed is forgotten, so that it can be made again. Who waits with it is to
    /// be told, by [`Awaited::resolve`], without a lock.
    pub(super) fn end(
        &mut self,
        key: &Key,
        outcome: &Outcome,
        now: Instant,
    ) -> Option<Arc<Awaited>> {
        let print = self.print(key);
        let Slot::Occupied(mut entry) = self.entries.entry(print) else { return None };
        let Stage::Runs(awaited) = &entry.get().stage else { return None };
        let awaited = awaited.clone();
        if matches!(outcome, Err(error) if error.executed() == Executed::No) {
            entry.remove();
            self.change(&key.caller, |held| held.running -= 1);
            return Some(awaited);
        }
        let kept = kept(outcome);
        let size = size(&kept);
        entry.get_mut().stage = Stage::Ended(kept);
        self.ended.push_back((now, print, key.caller.clone()));
        self.change(&key.caller, |held| {
            held.running -= 1;
            held.ended.push_back((now, print));
            held.bytes += size;
        });
        while self.callers.get(&key.caller).is_some_and(|held| held.bytes > BYTES_EACH) {
            self.drop_outcome(&key.caller.clone());
        }
        while self.bytes > BYTES {
            let Some((_, most)) = self.by_bytes.last().cloned() else { break };
            self.drop_outcome(&most);
        }
        Some(awaited)
    }

    /// Room for one more call of this caller's. Nobody loses an outcome to one who has more.
    fn make_room(&mut self, caller: &Arc<str>, now: Instant) -> Result<(), Error> {
        let none = Held::default();
        let held = self.callers.get(caller).unwrap_or(&none);
        let full = |known: usize, whose: &str, oldest: Option<Instant>| {
            let error = Error::new(
                ErrorCode::Overloaded,
                format!(
                    "{whose} made {known} calls with an idempotency key within 5 minutes, and none of them is forgotten before"
                ),
            );
            let left = oldest.map(|at| FOR.saturating_sub(now.saturating_duration_since(at)));
            Err(match left {
                Some(left) => error.with_retry_after(left),
                None => error,
            })
        };
        if held.running + held.ended.len() >= KNOWN_EACH {
            return full(KNOWN_EACH, "this caller", held.ended.front().map(|(at, _)| *at));
        }
        if self.entries.len() >= KNOWN {
            return full(KNOWN, "all callers together", self.ended.front().map(|(at, ..)| *at));
        }
        let (mine, running) = (held.keys(), held.running);
        if mine >= KEYS_EACH {
            if running == mine {
                return Err(Error::new(
                    ErrorCode::Overloaded,
                    format!("{running} calls of this caller with an idempotency key are under way"),
                ));
            }
            self.drop_outcome(caller);
        }
        if self.keys >= KEYS {
            let has = |caller: &Arc<str>| {
                self.callers.get(caller).is_some_and(|held| held.outcomes() > 0)
            };
            let mut most = self.by_keys.iter().rev().take_while(|(keys, _)| *keys >= mine);
            let Some((_, most)) = most.find(|(_, caller)| has(caller)).cloned() else {
                return Err(Error::new(
                    ErrorCode::Overloaded,
                    format!("{KEYS} calls with an idempotency key are under way"),
                ));
            };
            self.drop_outcome(&most);
        }
        Ok(())
    }

    /// The oldest outcome of this caller makes room; that there was one stays known.
    fn drop_outcome(&mut self, caller: &Arc<str>) {
        let Some(held) = self.callers.get(caller) else { return };
        let Some((_, print)) = held.ended.get(held.gone) else { return };
        let Some(entry) = self.entries.get_mut(print) else { return };
        let Stage::Ended(outcome) = &entry.stage else { return };
        let size = size(outcome);
        entry.stage = match outcome {
            Ok(_) => Stage::Gone(ErrorCode::ResultTooLarge, Executed::Yes),
            Err(error) => Stage::Gone(error.code(), error.executed()),
        };
        self.change(caller, |held| {
            held.gone += 1;
            held.bytes -= size;
        });
    }

    fn forget_old(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= FOR) {
            let Some((_, print, caller)) = self.ended.pop_front() else { return };
            let size = match self.entries.remove(&print).map(|entry| entry.stage) {
                Some(Stage::Ended(outcome)) => size(&outcome),
                _ => 0,
            };
            self.change(&caller, |held| {
                held.ended.pop_front();
                held.gone = held.gone.saturating_sub(1);
                held.bytes -= size;
            });
        }
    }

    /// Changes what a caller has, and all that is counted of it.
    fn change(&mut self, caller: &Arc<str>, f: impl FnOnce(&mut Held)) {
        let held = self.callers.entry(caller.clone()).or_default();
        let before = (held.keys(), held.bytes);
        f(held);
        let after = (held.keys(), held.bytes);
        if held.running == 0 && held.ended.is_empty() {
            self.callers.remove(caller);
        }
        self.keys = self.keys - before.0 + after.0;
        self.bytes = self.bytes - before.1 + after.1;
        for (index, before, after) in
            [(&mut self.by_keys, before.0, after.0), (&mut self.by_bytes, before.1, after.1)]
        {
            if before != after {
                index.remove(&(before, caller.clone()));
                if after > 0 {
                    index.insert((after, caller.clone()));
                }
            }
        }
    }

    fn print(&self, key: &Key) -> Print {
        let whole = (&*key.caller, &*key.method, &*key.key);
        (self.hashers.0.hash_one(whole), self.hashers.1.hash_one(whole))
    }
}

/// What is remembered of an outcome.
fn kept(outcome: &Outcome) -> Outcome {
    match outcome {
        Ok(value) if value.bytes.len() > LONGEST => Err(Error::new(
            ErrorCode::ResultTooLarge,
            format!(
                "the call with this idempotency key was executed; its result has {} bytes and was not remembered, up to {LONGEST} are",
                value.bytes.len()
            ),
        )),
        outcome => outcome.clone(),
    }
}

/// What is told of an outcome that has made room.
fn gone(code: ErrorCode, executed: Executed) -> Error {
    let message = match executed {
        Executed::Yes if code == ErrorCode::ResultTooLarge => {
            "the call with this idempotency key was executed; its result is gone, it made room for those of newer calls".to_owned()
        }
        _ => format!(
            "the call with this idempotency key ended with {code}; what else was known of it is gone, it made room for newer calls"
        ),
    };
    Error::new(code, message).with_executed(executed)
}

fn size(outcome: &Outcome) -> usize {
    match outcome {
        Ok(value) => value.bytes.len(),
        Err(error) => error.encoded().len(),
    }
}

/// The outcome of a call that others wait for too.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    state: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    outcome: Option<Outcome>,
    next: u64,
    /// Each is the call of a connection, which bounds how many it has.
    wakers: HashMap<u64, Waker>,
}

impl Awaited {
    pub(super) fn resolve(&self, outcome: Outcome) {
        let wakers = {
            let mut state = self.lock();
            state.outcome = Some(outcome);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for the outcome of an earlier one.
pub(super) struct Joined {
    awaited: Arc<Awaited>,
    number: u64,
    cancelled: Mutex<(bool, Option<Waker>)>,
}

impl Joined {
    pub(super) fn new(awaited: Arc<Awaited>) -> Self {
        let number = {
            let mut state = awaited.lock();
            state.next += 1;
            state.next
        };
        Self { awaited, number, cancelled: Mutex::default() }
    }
}

impl Queued for Joined {
    fn poll_outcome(&mut self, waker: &Waker) -> Poll<Option<Outcome>> {
        {
            let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
            if cancelled.0 {
                let gone = "the call was cancelled while it waited for the first one with its key";
                return Poll::Ready(Some(Err(Error::new(ErrorCode::Cancelled, gone))));
            }
            cancelled.1 = Some(waker.clone());
        }
        let mut state = self.awaited.lock();
        match &state.outcome {
            Some(outcome) => Poll::Ready(Some(outcome.clone())),
            None => {
                state.wakers.insert(self.number, waker.clone());
                Poll::Pending
            }
        }
    }

    fn poll_started(&mut self, _: &Waker) -> Poll<Result<Pending, Error>> {
        Poll::Ready(Err(Error::new(ErrorCode::Internal, "a joined call has no call of its own")))
    }

    fn cancel(&self) {
        let waker = {
            let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
            cancelled.0 = true;
            cancelled.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let waker = self.awaited.lock().wakers.remove(&self.number);
        // Foreign code, so not under the lock.
        drop(waker);
    }
}
