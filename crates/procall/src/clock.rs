//! The one place that reads the clock, and the turns in which it is read once.
//!
//! Whoever enters a connection with news, a driver's task or a thread that waits, opens a turn. In a turn the first look at the clock stands for all
//! that follow, so that what is done with one message is done at one moment. The time of a turn is never ahead of the clock, and it is let go
//!
//! - where code of the user's runs ([`outside_turn`]), which may take as long as it likes,
//! - after a sleep, before each burst of messages, and for a call that is started by anybody but a router ([`look`]),
//! - after [`USES`] uses, so that a turn with much to do does not live in the past.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use procall_proto::Time;

/// How often the time of a turn is used before the clock is looked at again: what 16 calls take on their way through a router, some 100 µs.
const USES: u8 = 64;

/// What a thread knows of the time.
#[derive(Debug, Clone, Copy)]
struct Turn {
    open: bool,
    /// The last look of this turn; never when there was none yet.
    last: Time,
    /// How often that may still be used.
    left: u8,
}

const CLOSED: Turn = Turn { open: false, last: Time::NEVER, left: 0 };

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(CLOSED) };
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

fn read() -> Time {
    let now = Time::ZERO + origin().elapsed();
    #[cfg(test)]
    let now = now + AHEAD.get();
    now
}

#[cfg(test)]
thread_local! {
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Puts the clock of this thread forward: time passes where a test says so.
#[cfg(test)]
pub(crate) fn advance(time: Duration) {
    AHEAD.set(AHEAD.get() + time);
}

/// Nanoseconds since the first look at the clock in this process; in a turn, those of its last look.
pub(crate) fn now() -> Time {
    let turn = TURN.get();
    if turn.left == 0 {
        return look();
    }
    TURN.set(Turn { left: turn.left - 1, ..turn });
    turn.last
}

/// The same, from the clock itself; in a turn, it is what the turn goes by from here on.
pub(crate) fn look() -> Time {
    look_with(read)
}

fn look_with(read: impl FnOnce() -> Time) -> Time {
    let (turn, now) = (TURN.get(), read());
    if turn.open {
        TURN.set(Turn { last: now, left: USES, ..turn });
    }
    now
}

/// A time of this turn that may be old: for whoever only asks whether something is surely over.
pub(crate) fn recent() -> Time {
    let turn = TURN.get();
    if turn.last == Time::NEVER { look() } else { turn.last }
}

/// Has the clock looked at again when the time is wanted next: this thread may have slept.
pub(crate) fn let_go() {
    TURN.set(Turn { left: 0, ..TURN.get() });
}

/// Runs `f` as a turn, or as part of the one that is open.
pub(crate) fn turn<R>(f: impl FnOnce() -> R) -> R {
    let outer = TURN.get();
    if outer.open {
        return f();
    }
    let _restore = Restore(outer);
    TURN.set(Turn { open: true, ..CLOSED });
    f()
}

/// Runs code of the user's, which sees the clock as it is.
pub(crate) fn outside_turn<R>(f: impl FnOnce() -> R) -> R {
    let outer = TURN.get();
    let _restore = Restore(Turn { left: 0, ..outer });
    TURN.set(CLOSED);
    f()
}

/// Puts a turn back, even when what ran panicked.
struct Restore(Turn);

impl Drop for Restore {
    fn drop(&mut self) {
        TURN.set(self.0);
    }
}

/// The moment in which what this thread does now counts as done: for routers, which would otherwise look at the clock several times for each call.
///
/// In a [`RawService`](crate::RawService) that is when the calls were read that it is given, or a little later. Anywhere else it is
/// [`Instant::now`]. It is never ahead of the clock.
///
/// ```
/// use std::time::Instant;
///
/// let before = Instant::now();
/// assert!(before <= procall::now() && procall::now() <= Instant::now());
/// ```
pub fn instant() -> Instant {
    origin() + Duration::from_nanos(now().as_nanos())
}

/// How long from `now` until `time`; `None` when it never comes.
pub(crate) fn until(time: Time, now: Time) -> Option<Duration> {
    (time != Time::NEVER).then(|| time - now)
}

/// How long it is until `time`; `None` when it never comes, for which no clock is needed.
pub(crate) fn left(time: Time) -> Option<Duration> {
    (time != Time::NEVER).then(|| time - now())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a clock that shows so many milliseconds.
    fn show(millis: u64) -> Time {
        look_with(|| at(millis))
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_turn_has_one_time_until_it_looks_again() {
        turn(|| {
            show(5);
            assert_eq!((now(), now(), recent()), (at(5), at(5), at(5)));
            turn(|| assert_eq!(now(), at(5), "a turn within a turn is part of it"));
            show(6);
            assert_eq!(now(), at(6));
        });
        assert!(!TURN.get().open && TURN.get().left == 0);
    }

    #[test]
    fn outside_of_a_turn_nothing_is_remembered() {
        show(5);
        assert_eq!((TURN.get().left, TURN.get().last), (0, Time::NEVER));
    }

    #[test]
    fn code_of_the_users_sees_the_clock_and_what_follows_looks_again() {
        let far = 1 << 40;
        turn(|| {
            show(far);
            outside_turn(|| {
                assert!(now() < at(far), "the time of the turn was seen");
                assert!(!TURN.get().open);
            });
            assert_eq!(recent(), at(far));
            assert!(now() < at(far), "the time from before was used again");
        });
    }

    #[test]
    fn a_panic_of_the_users_leaves_the_turn_in_order() {
        turn(|| {
            show(5);
            let panicked = std::panic::catch_unwind(|| outside_turn(|| panic!("on purpose")));
            assert!(panicked.is_err() && TURN.get().open && TURN.get().left == 0);
        });
        assert!(!TURN.get().open);
    }

    #[test]
    fn a_turn_with_much_to_do_looks_again() {
        let far = 1 << 40;
        turn(|| {
            show(far);
            let uses = (0..1_000).take_while(|_| now() == at(far)).count();
            assert_eq!(uses, usize::from(USES));
        });
    }
}
