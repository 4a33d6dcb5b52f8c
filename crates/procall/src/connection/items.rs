//! Items that a caller sends with its call.

use std::task::{Poll, Waker};

use procall_proto::{Blocked, Body, Encoding, Time};

use super::slot::Encoded;
use super::wait::{Interrupt, WaitError};
use super::{Pending, State, standby};

impl Pending {
    /// Polls until an item can be sent, then sends it. The item is lost when the call is over: its outcome says why.
    pub fn poll_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        self.poll_send_body(&Body::new(encoding, item), waker)
    }

    /// Waits on this thread until an item can be sent, then sends it.
    pub fn wait_send(
        &mut self,
        encoding: Encoding,
        item: &[u8],
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_send_body(&Body::new(encoding, item), interrupt)
    }

    /// Polls until an item can be sent, then sends it; its large arrays may be lent.
    pub fn poll_send_value(&mut self, item: &Encoded, waker: &Waker) -> Poll<Result<(), Blocked>> {
        self.poll_send_body(&item.body(), waker)
    }

    /// The same, waiting on this thread.
    pub fn wait_send_value(
        &mut self,
        item: &Encoded,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        self.wait_send_body(&item.body(), interrupt)
    }

    pub(crate) fn poll_send_body(
        &mut self,
        item: &Body<'_>,
        waker: &Waker,
    ) -> Poll<Result<(), Blocked>> {
        let token = self.token;
        self.shared.with(|state, _| {
            let polled = poll_send(state, token, item.clone(), waker);
            if polled.is_pending() {
                standby::look_after(&self.shared, state);
            }
            polled
        })
    }

    pub(crate) fn wait_send_body(
        &mut self,
        item: &Body<'_>,
        interrupt: Interrupt<'_>,
    ) -> Result<Result<(), Blocked>, WaitError> {
        let token = self.token;
        let sent = self.shared.wait(
            Time::NEVER,
            interrupt,
            |state, waker| poll_send(state, token, item.clone(), waker),
            || Poll::Pending,
        );
        self.shared.with(|_, _| ());
        sent
    }
}

fn poll_send(
    state: &mut State,
    token: usize,
    item: Body<'_>,
    waker: &Waker,
) -> Poll<Result<(), Blocked>> {
    let Some(slot) = state.slots.get_mut(token) else { return Poll::Ready(Err(Blocked::Over)) };
    if slot.place.is_some() {
        slot.send_waker = Some(waker.clone());
        return Poll::Pending;
    }
    let id = slot.id;
    match state.lend_item(id, item) {
        Err(Blocked::Credit) => {
            if let Some(slot) = state.slots.get_mut(token) {
                slot.send_waker = Some(waker.clone());
            }
            Poll::Pending
        }
        sent => Poll::Ready(sent),
    }
}
