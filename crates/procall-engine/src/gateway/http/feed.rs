//! Items that a client sends, one a line.

use std::task::{Context, Poll, ready};

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use procall::{Encoding, Error, ErrorCode, Executed, Pending};

use super::body::MAX_BODY;
use crate::gateway::json::{or_nil, value_from_json};

/// The lines of a body. Holds one item and what came of the next lines with it: while the method does not read, nothing more is read here.
#[derive(Debug)]
pub(super) struct Feed {
    body: BodyDataStream,
    came: Vec<u8>,
    /// What of it was taken already.
    taken: usize,
    /// What of it was searched for the end of a line already.
    searched: usize,
    body_over: bool,
    /// The item that waits for the method's credit.
    item: Option<Vec<u8>>,
    /// Items that were read.
    items: u64,
    done: bool,
}

impl Feed {
    pub(super) fn new(body: BodyDataStream) -> Self {
        Self {
            body,
            came: Vec::new(),
            taken: 0,
            searched: 0,
            body_over: false,
            item: None,
            items: 0,
            done: false,
        }
    }

    /// The next line that is not empty; none at the end.
    pub(super) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Vec<u8>>, Error>> {
        loop {
            let end = self.came[self.searched..].iter().position(|&byte| byte == b'\n');
            let end = match end {
                Some(at) => Some(self.searched + at),
                None if self.body_over && self.taken < self.came.len() => Some(self.came.len()),
                None => None,
            };
            if let Some(end) = end {
                let line = self.came[self.taken..end].trim_ascii().to_vec();
                self.taken = (end + 1).min(self.came.len());
                self.searched = self.taken;
                if line.is_empty() {
                    continue;
                }
                return Poll::Ready(Ok(Some(line)));
            }
            if self.body_over {
                return Poll::Ready(Ok(None));
            }
            self.came.drain(..self.taken);
            self.taken = 0;
            self.searched = self.came.len();
            if self.came.len() > MAX_BODY {
                return Poll::Ready(Err(Error::invalid(format!(
                    "a line may have {MAX_BODY} bytes"
                ))));
            }
            match ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(part)) => self.came.extend_from_slice(&part),
                Some(Err(error)) => {
                    let message = format!("the body was cut short: {error}");
                    return Poll::Ready(Err(Error::new(ErrorCode::Cancelled, message)));
                }
                None => self.body_over = true,
            }
        }
    }

    /// Passes on what came, as far as the call takes it. An error is the client's own, and ends the call.
    pub(super) fn drive(
        &mut self,
        pending: &mut Pending,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        while !self.done {
            if let Some(item) = &self.item {
                match pending.poll_send(Encoding::Msgpack, item, cx.waker()) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => self.item = None,
                    // The call is over: its outcome says why.
                    Poll::Ready(Err(_)) => self.done = true,
                }
                continue;
            }
            match self.poll_line(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Some(line))) => {
                    let value = value_from_json(Some(&line)).map_err(|error| {
                        let message = format!("item {} cannot be read: {error}", self.items);
                        Error::invalid(message).with_executed(Executed::Maybe)
                    })?;
                    self.items += 1;
                    self.item = Some(or_nil(value.bytes));
                }
                Poll::Ready(Ok(None)) => {
                    pending.end_items();
                    self.done = true;
                }
                Poll::Ready(Err(error)) => return Err(error.with_executed(Executed::Maybe)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn lines_are_found_however_they_are_cut() {
        let text = b"[1, 2]\r\n\n  {\"a\": 3}\nlast";
        for size in 1..=text.len() {
            let parts: Vec<_> =
                text.chunks(size).map(|part| Ok::<_, Infallible>(part.to_vec())).collect();
            let mut feed = Feed::new(Body::from_stream(stream::iter(parts)).into_data_stream());
            let mut lines = Vec::new();
            while let Some(line) = poll_fn(|cx| feed.poll_line(cx)).await.unwrap() {
                lines.push(String::from_utf8(line).unwrap());
            }
            assert_eq!(lines, ["[1, 2]", "{\"a\": 3}", "last"], "{size} bytes at a time");
        }
    }
}
