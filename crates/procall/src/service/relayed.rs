//! A call that is answered with the outcome of another.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};

use procall_proto::CallId;

use crate::channel::Started;
use crate::connection::{Connection, Encoded, Progress, Step};
use crate::error::Error;
use crate::registration::Shape;

/// Looks on while a call is answered with the outcome of another; see [`Connection::answer_with`].
///
/// Runs on the thread that brings the news, so it must not block.
pub trait Onlooker: Send + 'static {
    /// A value is about to be given to the caller: the result, or an item of the stream. An error takes its place, and ends the call.
    fn value(&mut self, _value: &Encoded) -> Result<(), Error> {
        Ok(())
    }

    /// The other call has failed, before anything of a stream moved: another call takes its place, or the caller is told this error.
    fn failed(&mut self, error: Error) -> Result<Started, Error> {
        Err(error)
    }

    /// The other call has failed when no other can take its place any more: what the caller is told.
    fn told(&mut self, error: Error) -> Error {
        error
    }

    /// The call has its outcome: success, or this error.
    fn ended(&mut self, _error: Option<&Error>) {}
}

/// Nobody looks on.
pub(super) struct Unwatched;

impl Onlooker for Unwatched {}

impl Connection {
    /// Answers a call of the peer's with whatever comes of another call. Bodies are never decoded; streams, progress and cancelling pass in
    /// the direction they have. `shape` says which streams the call has.
    ///
    /// No task is needed: whoever brings news of either call passes it on. What is given back can end the call from outside.
    pub fn answer_with(
        &self,
        id: CallId,
        shape: Shape,
        started: Started,
        onlooker: impl Onlooker,
    ) -> Relaying {
        let items = if shape.items_in() { Items::Coming } else { Items::Done };
        let relayed = Relayed {
            connection: self.clone(),
            id,
            started,
            shape,
            items,
            item_in: None,
            item_out: None,
            given_up: false,
            moved: false,
            onlooker,
        };
        let passage = Arc::new(Passage {
            turn: AtomicU8::new(IDLE),
            relayed: Mutex::new(Some(relayed)),
            stop: Mutex::default(),
        });
        let passage_of_any: Arc<dyn Stop> = passage.clone();
        let relaying = Relaying { passage: Arc::downgrade(&passage_of_any) };
        passage.wake();
        relaying
    }
}

/// A call that is being answered with the outcome of another. It needs nobody to hold this.
#[derive(Debug, Clone)]
pub struct Relaying {
    passage: Weak<dyn Stop>,
}

impl Relaying {
    /// Ends the call with an error, and asks for the other one to be cancelled. Nothing happens to one that is over.
    pub fn stop(&self, error: Error) {
        if let Some(passage) = self.passage.upgrade() {
            passage.stop(error);
        }
    }
}

/// What can be ended from outside, whoever looks on.
trait Stop: std::fmt::Debug + Send + Sync {
    fn stop(self: Arc<Self>, error: Error);
}

impl<O: Onlooker> Stop for Passage<O> {
    fn stop(self: Arc<Self>, error: Error) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.wake();
    }
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
/// Somebody had news while it was running.
const AGAIN: u8 = 2;

/// A relayed call that is polled by whoever wakes it, on the spot.
struct Passage<O> {
    turn: AtomicU8,
    relayed: Mutex<Option<Relayed<O>>>,
    /// Somebody wants it to end so.
    stop: Mutex<Option<Error>>,
}

impl<O> std::fmt::Debug for Passage<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").finish_non_exhaustive()
    }
}

impl<O: Onlooker> Wake for Passage<O> {
    fn wake(self: Arc<Self>) {
        if self.turn.swap(AGAIN, Ordering::AcqRel) != IDLE {
            // Whoever runs it looks again, this thread itself perhaps, further up its stack.
            return;
        }
        let waker = Waker::from(self.clone());
        loop {
            self.turn.store(RUNNING, Ordering::Release);
            self.poll(&waker);
            if self
                .turn
                .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                return;
            }
        }
    }
}

impl<O: Onlooker> Passage<O> {
    fn poll(&self, waker: &Waker) {
        // Only the one who turned IDLE into RUNNING comes here.
        let mut relayed = self.relayed.lock().unwrap_or_else(PoisonError::into_inner);
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(call), Some(error)) = (relayed.as_mut(), stop) {
            call.started.cancel();
            call.fail(&error);
            *relayed = None;
        }
        if let Some(call) = relayed.as_mut()
            && call.poll(waker).is_ready()
        {
            let call = relayed.take();
            drop(relayed);
            drop(call);
        }
    }
}

/// What the caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    Coming,
    /// All were sent on; the other side has yet to be told.
    End,
    Done,
}

/// A call between its caller and the channel. At most one item of each direction waits here, so a slow reader slows its writer.
struct Relayed<O> {
    /// Of the caller.
    connection: Connection,
    id: CallId,
    started: Started,
    shape: Shape,
    items: Items,
    item_in: Option<Encoded>,
    item_out: Option<Encoded>,
    /// The caller wants no answer any more; the outcome still says whether the handler ran.
    given_up: bool,
    /// An item has gone one way or the other.
    moved: bool,
    onlooker: O,
}

impl<O: Onlooker> Relayed<O> {
    /// Ready once the caller has its answer.
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if self.shape == Shape::Unary {
            return self.poll_unary(waker);
        }
        self.poll_progress(waker);
        self.poll_cancelled(waker);
        if !self.given_up {
            self.poll_items_in(waker);
        }
        if self.shape.items_out() { self.poll_items_out(waker) } else { self.poll_reply(waker) }
    }

    /// The caller may want no answer any more: true when that is news.
    fn poll_cancelled(&mut self, waker: &Waker) -> bool {
        if self.given_up || self.connection.poll_cancelled(self.id, waker).is_pending() {
            return false;
        }
        self.given_up = true;
        self.started.cancel();
        true
    }

    /// Without streams, and with as few looks as it takes.
    fn poll_unary(&mut self, waker: &Waker) -> Poll<()> {
        loop {
            match self.started.poll_step(waker) {
                Poll::Ready(Step::Progress(progress)) => self.tell(&progress),
                // A result is given whether or not it is wanted still: whoever does not want it drops it.
                Poll::Ready(Step::Reply(Ok(value))) => {
                    self.reply(value);
                    return Poll::Ready(());
                }
                Poll::Ready(Step::Reply(Err(error))) => {
                    self.poll_cancelled(waker);
                    if let Err(error) = self.try_another(error) {
                        self.fail(&error);
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => {
                    if !self.poll_cancelled(waker) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn tell(&self, progress: &Progress) {
        self.connection.progress(self.id, progress.done, progress.total, &progress.text);
    }

    fn reply(&mut self, value: Encoded) {
        match self.onlooker.value(&value) {
            Ok(()) => {
                self.onlooker.ended(None);
                self.connection.reply(self.id, value);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn poll_progress(&mut self, waker: &Waker) {
        while let Poll::Ready(Some(progress)) = self.started.poll_progress(waker) {
            self.tell(&progress);
        }
    }

    fn poll_items_in(&mut self, waker: &Waker) {
        while self.items == Items::Coming {
            let item = match self.item_in.take() {
                Some(item) => item,
                None => match self.connection.poll_item_in(self.id, waker) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Ok(item))) => item,
                    Poll::Ready(Some(Err(_))) => {
                        // Cut short by the caller: its cancel is the next thing that is seen.
                        self.items = Items::Done;
                        return self.started.cancel();
                    }
                    Poll::Ready(None) => {
                        self.items = Items::End;
                        break;
                    }
                },
            };
            let sent = self.started.poll_send(item.encoding, &item.bytes, waker);
            self.moved |= sent.is_ready();
            match sent {
                Poll::Pending => {
                    self.item_in = Some(item);
                    return;
                }
                Poll::Ready(Ok(())) => {}
                // The call is over: its outcome says why.
                Poll::Ready(Err(_)) => self.items = Items::Done,
            }
        }
        if self.items == Items::End && self.started.poll_end_items(waker).is_ready() {
            self.moved = true;
            self.items = Items::Done;
        }
    }

    fn poll_reply(&mut self, waker: &Waker) -> Poll<()> {
        loop {
            match std::task::ready!(self.started.poll_reply(waker)) {
                Ok(value) => self.reply(value),
                Err(error) => match self.try_another(error) {
                    Ok(()) => continue,
                    Err(error) => self.fail(&error),
                },
            }
            return Poll::Ready(());
        }
    }

    fn try_another(&mut self, error: Error) -> Result<(), Error> {
        if self.moved || self.given_up {
            return Err(self.onlooker.told(error));
        }
        self.started = self.onlooker.failed(error)?;
        Ok(())
    }

    fn fail(&mut self, error: &Error) {
        self.onlooker.ended(Some(error));
        self.connection.fail(self.id, error);
    }

    fn poll_items_out(&mut self, waker: &Waker) -> Poll<()> {
        loop {
            let item = match self.item_out.take() {
                Some(item) => item,
                None => match self.started.poll_item(waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(item))) => {
                        if let Err(error) = self.onlooker.value(&item) {
                            self.started.cancel();
                            self.fail(&error);
                            return Poll::Ready(());
                        }
                        item
                    }
                    Poll::Ready(Some(Err(error))) => match self.try_another(error) {
                        Ok(()) => continue,
                        Err(error) => {
                            self.fail(&error);
                            return Poll::Ready(());
                        }
                    },
                    Poll::Ready(None) => {
                        self.onlooker.ended(None);
                        self.connection.end_items_out(self.id);
                        return Poll::Ready(());
                    }
                },
            };
            if self.given_up {
                continue;
            }
            self.moved = true;
            let sent = self.connection.poll_item_out(self.id, item.encoding, &item.bytes, waker);
            match sent {
                Poll::Pending => {
                    self.item_out = Some(item);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    // The caller is gone or gave up; what is left of the stream is not for anybody.
                    self.given_up = true;
                    self.started.cancel();
                }
            }
        }
    }
}
