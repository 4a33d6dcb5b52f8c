//! Outcomes of calls with an idempotency key: the same call once more is answered with them, and not executed again.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use procall::{Body, Encoded, Error, ErrorCode, Executed, Pending, Queued};

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
        Ok(Encoded { encoding: Encoding::Msgpack, bytes: vec![1; length] })
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
        assert!(remembered.callers.is_empty() && remembered.by_keys.is_empty());
        assert!(is_first(&mut remembered, "a", now));
        let lost = Err(Error::new(ErrorCode::WorkerLost, "it died"));
        remembered.end(&key("a"), &lost, now).unwrap();
        let found = remembered.begin(&key("a"), &params(b"x"), now).unwrap();
        assert!(matches!(found, Found::Ended(Err(error)) if error.code() == ErrorCode::WorkerLost));
    }

    fn of(caller: &str, name: &str) -> Key {
        Key::new(caller.into(), &"shop.buy".into(), name).unwrap()
    }

    fn begin(remembered: &mut Remembered, key: &Key, now: Instant) -> Result<Found, Error> {
        remembered.begin(key, &params(b"x"), now)
    }

    /// Makes so many calls that end with results of this length.
    fn made(remembered: &mut Remembered, caller: &str, calls: std::ops::Range<usize>, size: usize) {
        let now = Instant::now();
        for at in calls {
            let key = of(caller, &at.to_string());
            assert!(matches!(begin(remembered, &key, now), Ok(Found::First)), "{caller} {at}");
            remembered.end(&key, &value(size), now).unwrap();
        }
    }

    /// Whether a call's result is there; that it was made is known at any rate.
    fn is_there(remembered: &mut Remembered, key: &Key) -> bool {
        match begin(remembered, key, Instant::now()) {
            Ok(Found::Ended(Ok(_))) => true,
            Ok(Found::Ended(Err(error))) => {
                assert_eq!(
                    (error.code(), error.executed()),
                    (ErrorCode::ResultTooLarge, Executed::Yes)
                );
                assert!(error.message().contains("made room"), "{error}");
                false
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_under_way_are_bounded_for_each_caller_and_the_oldest_outcome_makes_room() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        for at in 0..KEYS_EACH {
            assert!(is_first(&mut remembered, &at.to_string(), now));
        }
        let error = remembered.begin(&key("new"), &params(b"x"), now).unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
        assert!(matches!(begin(&mut remembered, &of("uid 8", "a"), now), Ok(Found::First)));
        remembered.end(&key("7"), &value(1), now);
        assert!(is_first(&mut remembered, "new", now));
        assert!(!is_there(&mut remembered, &key("7")));
        assert_eq!(remembered.keys, KEYS_EACH + 1);
    }

    #[test]
    fn one_caller_does_not_take_the_outcomes_of_another() {
        let mut remembered = Remembered::default();
        made(&mut remembered, "small", 0..100, 10);
        made(&mut remembered, "greedy", 0..KEYS + 500, 10);
        made(&mut remembered, "second", 0..KEYS, 10);
        assert!(remembered.keys <= KEYS);
        for at in 0..100 {
            assert!(is_there(&mut remembered, &of("small", &at.to_string())), "{at}");
        }
        assert!(!is_there(&mut remembered, &of("greedy", "0")));
        assert!(is_there(&mut remembered, &of("greedy", &(KEYS + 499).to_string())));
        made(&mut remembered, "large", 0..100, LONGEST);
        assert!(remembered.bytes <= BYTES);
        assert!(is_there(&mut remembered, &of("small", "0")), "its bytes are its own");
        assert!(!is_there(&mut remembered, &of("large", "0")));
        assert!(is_there(&mut remembered, &of("large", "99")));
    }

    #[test]
    fn at_the_bound_of_all_whoever_has_most_makes_room() {
        let mut remembered = Remembered::default();
        made(&mut remembered, "most", 0..KEYS_EACH, 1);
        made(&mut remembered, "less", 0..KEYS_EACH - 10, 1);
        made(&mut remembered, "late", 0..30, 1);
        assert_eq!(remembered.keys, KEYS);
        assert!(!is_there(&mut remembered, &of("most", "0")));
        assert!(is_there(&mut remembered, &of("late", "0")));
        let now = Instant::now();
        let mut running = Remembered::default();
        for (caller, calls) in [("a", KEYS_EACH), ("b", KEYS_EACH - 1)] {
            for at in 0..calls {
                assert!(begin(&mut running, &of(caller, &at.to_string()), now).is_ok());
            }
        }
        made(&mut running, "small", 0..1, 1);
        let error = begin(&mut running, &of("b", "more"), now).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded, "nobody loses to one who has more");
        assert!(is_there(&mut running, &of("small", "0")));
    }

    #[test]
    fn what_was_made_stays_known_for_its_time_and_new_keys_are_refused_meanwhile() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        for at in 0..KNOWN_EACH {
            assert!(is_first(&mut remembered, &at.to_string(), now));
            remembered.end(&key(&at.to_string()), &value(1), now);
        }
        assert!(!is_there(&mut remembered, &key("0")));
        let minute = now + Duration::from_secs(60);
        let error = begin(&mut remembered, &key("new"), minute).unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::Overloaded, Executed::No));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(240)));
        assert!(matches!(begin(&mut remembered, &of("uid 8", "a"), minute), Ok(Found::First)));
        assert!(is_first(&mut remembered, "new", now + FOR));
        assert_eq!((remembered.entries.len(), remembered.keys, remembered.bytes), (2, 2, 0));
    }

    #[test]
    fn an_error_that_made_room_leaves_its_code() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&mut remembered, "a", now));
        let lost = Err(Error::new(ErrorCode::WorkerLost, "it died"));
        remembered.end(&key("a"), &lost, now).unwrap();
        made(&mut remembered, "uid 7", 0..KEYS_EACH, 1);
        let found = begin(&mut remembered, &key("a"), now).unwrap();
        let Found::Ended(Err(error)) = found else { panic!("{found:?}") };
        assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
        assert!(error.message().contains("made room"), "{error}");
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        for at in 0..100 {
            assert!(is_first(&mut remembered, &at.to_string(), now));
            remembered.end(&key(&at.to_string()), &value(LONGEST), now);
            assert!(remembered.bytes <= BYTES_EACH);
        }
        assert_eq!(remembered.bytes, BYTES_EACH);
        assert!(is_first(&mut remembered, "late", now + FOR));
        assert_eq!((remembered.bytes, remembered.keys, remembered.callers.len()), (0, 1, 1));
        assert_eq!((remembered.by_keys.len(), remembered.by_bytes.len()), (1, 0));
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
