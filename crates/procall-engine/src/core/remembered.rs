//! Outcomes of calls with an idempotency key: the same call once more is answered with them, and not executed again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall::{Body, Encoded, Error, ErrorCode, Executed, Pending, Queued};

/// How long an outcome is remembered.
const FOR: Duration = Duration::from_secs(5 * 60);
/// Keys at once. The oldest outcome makes room for a new call; when all of these calls still run, the next one is refused with OVERLOADED.
const KEYS: usize = 10_000;
/// Bytes of all outcomes and keys. The oldest outcomes make room.
const BYTES: usize = 64 << 20;
/// Longest result that is remembered. Of a longer one it is known that there was one, and asking for it again is RESULT_TOO_LARGE.
const LONGEST: usize = 1 << 20;
/// Longest key, in bytes.
const MAX_KEY: usize = 255;
/// What an entry costs beside its texts and its result, about.
const ENTRY: usize = 256;

type Outcome = Result<Encoded, Error>;

/// Which call it is: who makes it, of which method, and which of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(Arc<(String, Arc<str>, String)>);

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
        Ok(Self(Arc::new((caller, method.clone(), key.to_owned()))))
    }

    fn size(&self) -> usize {
        self.0.0.len() + self.0.2.len() + ENTRY
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
#[derive(Debug, Default)]
pub(super) struct Remembered {
    entries: HashMap<Key, Entry>,
    /// Those that have ended, oldest first.
    ended: VecDeque<(Instant, Key)>,
    bytes: usize,
    hasher: RandomState,
}

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
}

impl Remembered {
    /// Looks for the key, and enters it when it is new.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT when the key belongs to a call with other params, OVERLOADED when too many such calls run.
    pub(super) fn begin(
        &mut self,
        key: &Key,
        params: &Body<'_>,
        now: Instant,
    ) -> Result<Found, Error> {
        self.forget_old(now);
        let params = self.hasher.hash_one((params.encoding().number(), params.bytes()));
        if let Some(entry) = self.entries.get(key) {
            if entry.params != params {
                return Err(Error::invalid(format!(
                    "the idempotency key \"{}\" belongs to a call of {} with other arguments; use a new key for a new call",
                    key.0.2, key.0.1
                )));
            }
            return Ok(match &entry.stage {
                Stage::Runs(awaited) => Found::Running(awaited.clone()),
                Stage::Ended(outcome) => Found::Ended(outcome.clone()),
            });
        }
        while self.entries.len() >= KEYS {
            if !self.forget_oldest() {
                return Err(Error::new(
                    ErrorCode::Overloaded,
                    format!("{KEYS} calls with an idempotency key are under way"),
                ));
            }
        }
        self.bytes += key.size();
        let stage = Stage::Runs(Arc::default());
        self.entries.insert(key.clone(), Entry { params, stage });
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
        let entry = self.entries.get_mut(key)?;
        let Stage::Runs(awaited) = &entry.stage else { return None };
        let awaited = awaited.clone();
        let unexecuted = matches!(outcome, Err(error) if error.executed() == Executed::No);
        if unexecuted {
            self.entries.remove(key);
            self.bytes -= key.size();
            return Some(awaited);
        }
        let kept = kept(outcome);
        self.bytes += size(&kept);
        entry.stage = Stage::Ended(kept);
        self.ended.push_back((now, key.clone()));
        while self.bytes > BYTES && self.forget_oldest() {}
        Some(awaited)
    }

    fn forget_old(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= FOR) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.ended.pop_front() else { return false };
        if let Some(Entry { stage: Stage::Ended(outcome), .. }) = self.entries.remove(&key) {
            self.bytes -= key.size() + size(&outcome);
        }
        true
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

#[cfg(test)]
mod tests {
    use procall::Encoding;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("uid 7".into(), &"shop.buy".into(), name).unwrap()
    }

    fn params(bytes: &[u8]) -> Body<'_> {
        Body::new(Encoding::Msgpack, bytes)
    }

    fn value(length: usize) -> Outcome {
        Ok(Encoded::new(Encoding::Msgpack, vec![1; length]))
    }

    fn is_first(remembered: &mut Remembered, name: &str, now: Instant) -> bool {
        matches!(remembered.begin(&key(name), &params(b"x"), now), Ok(Found::First))
    }

    #[test]
    fn an_outcome_is_remembered_for_five_minutes() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        remembered.end(&key("a"), &value(3), now).unwrap();
        for (after, known) in [(0, true), (299, true), (300, false)] {
            let at = now + Duration::from_secs(after);
            let found = remembered.begin(&key("a"), &params(b"x"), at).unwrap();
            let ended = matches!(found, Found::Ended(Ok(value)) if value.bytes == [1; 3]);
            assert_eq!(ended, known, "{after} s");
        }
    }

    #[test]
    fn a_key_belongs_to_one_caller_and_method_and_to_its_arguments() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        for other in [
            Key::new("uid 8".into(), &"shop.buy".into(), "a").unwrap(),
            Key::new("uid 7".into(), &"shop.sell".into(), "a").unwrap(),
        ] {
            let found = remembered.begin(&other, &params(b"x"), now).unwrap();
            assert!(matches!(found, Found::First));
        }
        let error = remembered.begin(&key("a"), &params(b"y"), now).unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
        assert!(error.message().contains("\"a\" belongs to a call of shop.buy"));
        for wrong in ["", &"k".repeat(256)] {
            assert!(Key::new(String::new(), &"m".into(), wrong).is_err());
        }
    }

    #[test]
    fn what_was_not_executed_is_forgotten_and_what_may_have_been_is_not() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        let refused = Err(Error::new(ErrorCode::Overloaded, "full"));
        remembered.end(&key("a"), &refused, now).unwrap();
        assert_eq!(remembered.bytes, 0);
        assert!(is_first(&mut remembered, "a", now));
        let lost = Err(Error::new(ErrorCode::WorkerLost, "it died"));
        remembered.end(&key("a"), &lost, now).unwrap();
        let found = remembered.begin(&key("a"), &params(b"x"), now).unwrap();
        assert!(matches!(found, Found::Ended(Err(error)) if error.code() == ErrorCode::WorkerLost));
    }

    #[test]
    fn keys_are_bounded_and_the_oldest_outcome_makes_room() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        for at in 0..KEYS {
            assert!(is_first(&mut remembered, &at.to_string(), now));
        }
        let error = remembered.begin(&key("new"), &params(b"x"), now).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        remembered.end(&key("7"), &value(1), now);
        assert!(is_first(&mut remembered, "new", now));
        assert_eq!(remembered.entries.len(), KEYS);
        assert!(!remembered.entries.contains_key(&key("7")));
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        for at in 0..100 {
            assert!(is_first(&mut remembered, &at.to_string(), now));
            remembered.end(&key(&at.to_string()), &value(LONGEST), now);
            assert!(remembered.bytes <= BYTES);
        }
        let held = remembered.entries.len();
        assert!((60..64).contains(&held), "{held}");
        assert!(is_first(&mut remembered, "late", now + FOR));
        assert_eq!(remembered.bytes, key("late").size());
    }

    #[test]
    fn a_result_that_is_too_long_is_known_to_have_been_there() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        remembered.end(&key("a"), &value(LONGEST + 1), now);
        let found = remembered.begin(&key("a"), &params(b"x"), now).unwrap();
        let Found::Ended(Err(error)) = found else { panic!("{found:?}") };
        assert_eq!((error.code(), error.executed()), (ErrorCode::ResultTooLarge, Executed::Yes));
    }

    #[test]
    fn who_waits_with_the_first_call_gets_its_outcome() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        let Found::Running(awaited) = remembered.begin(&key("a"), &params(b"x"), now).unwrap()
        else {
            panic!("it runs");
        };
        let (mut joined, mut leaving) = (Joined::new(awaited.clone()), Joined::new(awaited));
        assert!(joined.poll_outcome(Waker::noop()).is_pending());
        assert!(leaving.poll_outcome(Waker::noop()).is_pending());
        leaving.cancel();
        let Poll::Ready(Some(Err(error))) = leaving.poll_outcome(Waker::noop()) else {
            panic!("it was cancelled");
        };
        assert_eq!(error.code(), ErrorCode::Cancelled);
        remembered.end(&key("a"), &value(2), now).unwrap().resolve(value(2));
        let Poll::Ready(Some(Ok(value))) = joined.poll_outcome(Waker::noop()) else {
            panic!("it has ended");
        };
        assert_eq!(value.bytes, [1, 1]);
    }
}
