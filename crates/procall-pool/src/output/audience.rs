//! Who listens. Nobody who listens slowly can hold a worker or the supervisor up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::{Event, OutputLine};

/// Notices that wait for the callbacks; the oldest one makes room for the next.
const MAX_NOTICES: usize = 4096;
/// Events that wait in one subscription; the oldest one makes room for the next.
const MAX_EVENTS: usize = 256;

pub(crate) type OnOutput = Box<dyn FnMut(&OutputLine) + Send>;
pub(crate) type OnEvent = Box<dyn FnMut(&Event) + Send>;

/// Everybody who wants to hear of a pool's lines and events.
#[derive(Default)]
pub(crate) struct Audience {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether lines and events are called for.
    lines: bool,
    events: bool,
}

#[derive(Default)]
struct State {
    notices: VecDeque<Notice>,
    subscriptions: Vec<Weak<Inbox>>,
    /// A callback is being run.
    busy: bool,
    closed: bool,
}

enum Notice {
    Line(Arc<OutputLine>),
    Event(Event),
}

impl Audience {
    /// Callbacks get a thread of their own, which ends with the pool.
    pub(crate) fn new(
        on_output: Option<OnOutput>,
        on_event: Option<OnEvent>,
    ) -> std::io::Result<Arc<Self>> {
        let audience = Arc::new(Self {
            lines: on_output.is_some(),
            events: on_event.is_some(),
            ..Self::default()
        });
        if audience.lines || audience.events {
            let own = audience.clone();
            std::thread::Builder::new()
                .name("procall-events".to_owned())
                .spawn(move || own.call_back(on_output, on_event))?;
        }
        Ok(audience)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn line(&self, line: &Arc<OutputLine>) {
        if self.lines {
            self.push(Notice::Line(line.clone()));
        }
    }

    pub(crate) fn event(&self, event: Event) {
        let subscriptions: Vec<Arc<Inbox>> = {
            let mut state = self.lock();
            state.subscriptions.retain(|inbox| inbox.strong_count() > 0);
            state.subscriptions.iter().filter_map(Weak::upgrade).collect()
        };
        for inbox in subscriptions {
            inbox.push(event.clone());
        }
        if self.events {
            self.push(Notice::Event(event));
        }
    }

    fn push(&self, notice: Notice) {
        let mut state = self.lock();
        if state.notices.len() >= MAX_NOTICES {
            state.notices.pop_front();
        }
        state.notices.push_back(notice);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn subscribe(&self) -> Events {
        let inbox = Arc::<Inbox>::default();
        let mut state = self.lock();
        inbox.lock().closed = state.closed;
        state.subscriptions.push(Arc::downgrade(&inbox));
        Events { inbox }
    }

    /// No more notices come; those that wait are still told.
    pub(crate) fn close(&self) {
        let subscriptions = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.subscriptions)
        };
        self.changed.notify_all();
        for inbox in subscriptions.iter().filter_map(Weak::upgrade) {
            inbox.close();
        }
    }

    /// Whether the callbacks have heard everything.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.lock();
        !(self.lines || self.events) || (state.notices.is_empty() && !state.busy)
    }

    fn call_back(&self, mut on_output: Option<OnOutput>, mut on_event: Option<OnEvent>) {
        loop {
            let notice = {
                let mut state = self.lock();
                state.busy = false;
                loop {
                    if let Some(notice) = state.notices.pop_front() {
                        state.busy = true;
                        break notice;
                    }
                    if state.closed {
                        return;
                    }
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            // A callback that panics has told what it had to tell on its own; the next line may fare better.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match &notice {
                Notice::Line(line) => on_output.iter_mut().for_each(|call| call(line)),
                Notice::Event(event) => on_event.iter_mut().for_each(|call| call(event)),
            }));
        }
    }
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audience")
            .field("lines", &self.lines)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
    changed: Condvar,
}

#[derive(Default)]
struct InboxState {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.events.len() >= MAX_EVENTS {
            state.events.pop_front();
            state.missed += 1;
        }
        state.events.push_back(event);
        self.tell(state);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, InboxState>) {
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A subscription to what happens to a pool's workers. It holds the last 256 events that were not taken.
///
/// ```no_run
/// # fn f(pool: procall_pool::Pool) {
/// let events = pool.events();
/// while let Some(event) = events.next(None) {
///     println!("{event}");
/// }
/// # }
/// ```
pub struct Events {
    inbox: Arc<Inbox>,
}

impl Events {
    /// The next event, waited for on this thread; `None` when the pool has stopped or the time is up.
    pub fn next(&self, timeout: Option<Duration>) -> Option<Event> {
        // A time that no clock can count to never comes.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.inbox.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                return Some(event);
            }
            if state.closed {
                return None;
            }
            state = match until {
                None => self.inbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.checked_duration_since(Instant::now())?;
                    self.inbox
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Polls for the next event; `None` when the pool has stopped.
    pub fn poll_next(&self, waker: &Waker) -> Poll<Option<Event>> {
        let mut state = self.inbox.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }

    /// Events that were dropped because this subscription was not read.
    pub fn missed(&self) -> u64 {
        self.inbox.lock().missed
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("missed", &self.missed()).finish_non_exhaustive()
    }
}
