//! A call from the command line, from its start to its outcome: progress on the way, items from standard input, Ctrl-C.

use std::future::poll_fn;
use std::io::BufRead;
use std::task::{Context, Poll, Waker};

use procall::{
    AsChannel, CallOptions, Encoded, Encoding, Error, ErrorCode, Executed, Request, Started,
    start_retrying,
};
use tokio::sync::mpsc;

use crate::arguments;
use crate::bar::Bar;
use crate::directory::Found;
use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;
use crate::style::Style;

/// Lines of standard input that are read ahead; then the reading waits for the service.
const AHEAD: usize = 64;

/// A call under way.
pub(crate) struct Exchange {
    started: Started,
    feed: Option<Feed>,
    bar: Bar,
    signals: Signals,
}

impl Exchange {
    /// Starts a call; `feed` says that standard input is the stream it sends.
    pub(crate) fn start(
        found: Found<'_>,
        params: &[u8],
        options: CallOptions,
        feed: bool,
        style: &Style,
    ) -> Result<Self, Failure> {
        let signals = Signals::new()?;
        let request =
            Request::new(&found.method.name, Encoding::Msgpack, params).with_options(options);
        let started = start_retrying(&found.service.client.as_channel(), request)?;
        let feed = if feed { Some(Feed::stdin()?) } else { None };
        Ok(Self { started, feed, bar: Bar::new(style), signals })
    }

    /// The reply. Ctrl-C cancels the call.
    pub(crate) async fn reply(&mut self) -> Result<Encoded, Failure> {
        let Self { started, feed, bar, signals } = self;
        let mut poll = |cx: &mut Context<'_>| {
            if let Err(failure) = poll_along(started, feed, bar, cx.waker()) {
                return Poll::Ready(Err(failure));
            }
            started.poll_reply(cx.waker()).map(|reply| reply.map_err(Failure::from))
        };
        let outcome = tokio::select! {
            outcome = poll_fn(&mut poll) => Some(outcome),
            () = signals.next() => None,
        };
        bar.clear();
        match outcome {
            Some(outcome) => {
                if outcome.is_err() {
                    started.cancel();
                }
                outcome
            }
            None => {
                started.cancel();
                let outcome = poll_fn(|cx| started.poll_reply(cx.waker())).await;
                // It was done before it heard of that: the result is there, so it is given.
                outcome.map_err(|error| interrupted(&error))
            }
        }
    }

    /// Prints what came. Ctrl-C leaves it at that.
    pub(crate) async fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        output::answer(bytes, &mut self.signals).await
    }

    /// The next item of the answer; `None` is its end. Ctrl-C leaves the stream.
    pub(crate) async fn next(&mut self) -> Option<Result<Encoded, Failure>> {
        let Self { started, feed, bar, signals } = self;
        let mut poll = |cx: &mut Context<'_>| {
            if let Err(failure) = poll_along(started, feed, bar, cx.waker()) {
                return Poll::Ready(Some(Err(failure)));
            }
            started.poll_item(cx.waker()).map(|item| item.map(|item| item.map_err(Failure::from)))
        };
        let item = tokio::select! {
            item = poll_fn(&mut poll) => Some(item),
            () = signals.next() => None,
        };
        bar.clear();
        if let Some(item) = item {
            return item;
        }
        started.cancel();
        loop {
            match poll_fn(|cx| started.poll_item(cx.waker())).await {
                // Items that were under way.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(Err(interrupted(&error))),
                None => return None,
            }
        }
    }
}

/// What goes on beside the answer. An error makes the call pointless.
fn poll_along(
    started: &mut Started,
    feed: &mut Option<Feed>,
    bar: &mut Bar,
    waker: &Waker,
) -> Result<(), Failure> {
    if let Some(feed) = feed {
        // Whatever is wrong with the items, the handler may be at work on those before.
        feed.poll(started, waker).map_err(|failure| {
            started.cancel();
            failure.executed(Executed::Maybe)
        })?;
    }
    while let Poll::Ready(Some(progress)) = started.poll_progress(waker) {
        bar.show(&progress);
    }
    Ok(())
}

/// What Ctrl-C comes to: the verdict is the one the other side gave.
fn interrupted(error: &Error) -> Failure {
    match error.code() {
        ErrorCode::Cancelled => Failure::interrupted("interrupted", error.executed()),
        _ => Failure::from(error.clone()),
    }
}

/// The lines of standard input as items.
struct Feed {
    lines: mpsc::Receiver<Result<Vec<u8>, Failure>>,
    next: Option<Vec<u8>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Lines,
    End,
    Done,
}

impl Feed {
    fn stdin() -> Result<Self, Failure> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let read = move || {
            for line in std::io::stdin().lock().lines() {
                let item = match line {
                    Ok(line) => arguments::item(&line),
                    Err(error) => {
                        Err(Failure::usage(format!("standard input cannot be read: {error}")))
                    }
                };
                let failed = item.is_err();
                if sender.blocking_send(item).is_err() || failed {
                    return;
                }
            }
        };
        // A thread of its own: a read of a terminal cannot be interrupted, and must not keep the command from ending.
        std::thread::Builder::new().name("procall-stdin".to_owned()).spawn(read).map_err(
            |error| Error::new(ErrorCode::Internal, "no thread is left").with_source(error),
        )?;
        Ok(Self { lines, next: None, stage: Stage::Lines })
    }

    /// Sends what can be sent now. At most one line waits here for the service.
    fn poll(&mut self, started: &mut Started, waker: &Waker) -> Result<(), Failure> {
        while self.stage == Stage::Lines {
            let item = match self.next.take() {
                Some(item) => item,
                None => match self.lines.poll_recv(&mut Context::from_waker(waker)) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Some(item)) => item?,
                    Poll::Ready(None) => {
                        self.stage = Stage::End;
                        break;
                    }
                },
            };
            match started.poll_send(Encoding::Msgpack, &item, waker) {
                Poll::Pending => {
                    self.next = Some(item);
                    return Ok(());
                }
                Poll::Ready(Ok(())) => {}
                // The call is over: its outcome says why.
                Poll::Ready(Err(_)) => self.stage = Stage::Done,
            }
        }
        if self.stage == Stage::End && started.poll_end_items(waker).is_ready() {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}
