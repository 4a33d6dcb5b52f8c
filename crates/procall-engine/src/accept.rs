//! From a socket that listens to peers.

use std::future::poll_fn;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use procall::transport::{Link, LinkError, LinkInfo, LinkOptions};
use procall::{Error, ErrorCode, Listener, Readiness, Side};
use tokio::time::timeout;

use crate::core::Core;
use crate::facts::{Facts, Speaks};
use crate::gateway::json;

/// Longest message of a peer that cannot send a long one in parts.
pub(crate) const MAX_JSON: usize = 64 << 20;
/// How long a peer may take to send its first message.
pub(crate) const GREETING: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes whoever comes, until the task is aborted.
pub(crate) async fn listen(listener: Listener, core: Arc<Core>) -> Result<(), Error> {
    let readiness = Readiness::new(listener.as_fd()).map_err(unwatchable)?;
    let options = LinkOptions { max_message: MAX_JSON, ..LinkOptions::default() };
    let accept = |accepted: &mut Vec<Box<dyn Link>>| loop {
        match listener.accept_with(&options) {
            Ok(Some(link)) => accepted.push(link),
            Ok(None) => return false,
            // Somebody may wait still: out of descriptors, most likely.
            Err(_) => return true,
        }
    };
    loop {
        let mut accepted = Vec::new();
        // Looked at without being asked: nothing announces again what an earlier look could not take.
        let mut full = accept(&mut accepted);
        if accepted.is_empty() && !full {
            // Only a runtime that shuts down watches nothing any more.
            poll_fn(|cx| readiness.poll_read(cx, || full = accept(&mut accepted)))
                .await
                .map_err(unwatchable)?;
        }
        for link in accepted {
            tokio::spawn(greet(link, core.clone()));
        }
        if full {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn unwatchable(error: std::io::Error) -> Error {
    Error::new(ErrorCode::Internal, "the listener cannot be watched by this runtime")
        .with_source(error)
}

/// Looks at the first message: it says what the peer speaks.
async fn greet(mut link: Box<dyn Link>, core: Arc<Core>) {
    let Ok(Some(first)) = timeout(GREETING, first_message(&mut *link)).await else {
        return link.close();
    };
    let address = address_of(link.info());
    match first.first() {
        Some(b'{' | b'[') => {
            let credentials = link.info().peer;
            json::serve(link, first, address, credentials, Arc::new(core)).await;
        }
        _ => {
            let facts = Facts {
                speaks: Speaks::Native,
                address,
                credentials: link.info().peer,
                hears_broadcasts: false,
            };
            let replay = Replay { first: Some(first), given: Vec::new(), link };
            // One that is refused sees the end of file; there is nobody else to tell.
            if let Ok(joined) = core.join(Box::new(replay), Side::Acceptor, facts) {
                joined.connection.turn();
            }
        }
    }
}

/// Over TCP the text by which `to` may name a peer.
fn address_of(info: &LinkInfo) -> String {
    info.address.strip_prefix("tcp:").unwrap_or(&info.address).to_owned()
}

/// `None` when the link ended before there was one.
async fn first_message(link: &mut dyn Link) -> Option<Vec<u8>> {
    let readiness = Readiness::new(link.readiness()).ok()?;
    loop {
        match link.receive() {
            Ok(Some(message)) => return Some(message.to_vec()),
            Ok(None) => {}
            Err(_) => return None,
        }
        let mut found = None;
        poll_fn(|cx| {
            let polled = readiness.poll_read(cx, || {
                if found.is_none() {
                    found = match link.receive() {
                        Ok(message) => message.map(|message| Some(message.to_vec())),
                        Err(_) => Some(None),
                    };
                }
            });
            if found.is_some() { Poll::Ready(Ok(())) } else { polled }
        })
        .await
        .ok()?;
        if let Some(found) = found {
            return found;
        }
    }
}

/// A link whose first message was looked at already.
#[derive(Debug)]
struct Replay {
    first: Option<Vec<u8>>,
    given: Vec<u8>,
    link: Box<dyn Link>,
}

impl Link for Replay {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.link.buffer(len)
    }

    fn commit(&mut self) {
        self.link.commit();
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.link.flush()
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        if let Some(first) = self.first.take() {
            self.given = first;
            return Ok(Some(&self.given));
        }
        self.given = Vec::new();
        self.link.receive()
    }

    fn info(&self) -> &LinkInfo {
        self.link.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.link.readiness()
    }

    fn close(&mut self) {
        self.link.close();
    }
}
