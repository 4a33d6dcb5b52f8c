//! What leaves a connection, and when.

use procall_transport::LinkError;

use super::after::After;
use super::lending::Promises;
use super::state::State;

impl State {
    /// Passes on what the session has to say, and sends what it has to send.
    pub(crate) fn settle(&mut self, after: &mut After) {
        let fault = self.pass_on(after);
        self.flush(after);
        self.go_on_sharing(after);
        self.end_if_ended(fault, after);
    }

    /// The same, but what there is to send leaves later, with the next [`settle`](Self::settle).
    pub(crate) fn settle_without_sending(&mut self, after: &mut After) {
        let fault = self.pass_on(after);
        self.end_if_ended(fault, after);
    }

    /// The same, and the driver sends it in its next turn, after those who run before it and may have more for the same peer.
    pub(crate) fn settle_with_driver(&mut self, after: &mut After) {
        self.settle_without_sending(after);
        // Calls that wait to be sent may have set this already, and have left the waking to whoever ends the turn.
        self.unflushed = true;
        after.wakes.extend(self.driver.clone());
    }

    /// Whether a driver reads this connection while other calls are under way, so that more is likely to be sent soon.
    pub(crate) fn has_company(&self) -> bool {
        self.driver.is_some() && (self.session.serving() > 0 || self.session.calling() > 1)
    }

    pub(crate) fn flush(&mut self, after: &mut After) {
        self.unflushed = false;
        if self.lost || self.mute {
            return;
        }
        loop {
            // Ends before the session has no more only when the link's buffer is full.
            let mut full = false;
            while let Some(len) = self.session.transmit_len() {
                let held = self.session.transmit_held();
                match Promises::buffer(&mut *self.link, len, held) {
                    Ok(Some(buffer)) => {
                        self.session.transmit_into(buffer);
                        self.link.commit();
                        self.sharing.flows();
                    }
                    Ok(None) => {
                        full = true;
                        break;
                    }
                    Err(error) => return self.sending_failed(&error, after),
                }
            }
            match self.link.flush() {
                Ok(true) if full => {}
                Ok(true) if self.answered && !self.drained => {
                    self.drained = true;
                    after.wake_all(&mut self.watchers);
                    return;
                }
                Ok(sent) => {
                    if !sent && !self.driver_told && self.link.wants_room() {
                        // A driver that watches the socket alone is not told of room.
                        self.driver_told = true;
                        after.wakes.extend(self.driver.clone());
                    }
                    return;
                }
                Err(error) => return self.sending_failed(&error, after),
            }
        }
    }

    /// Nothing more can be sent. What the peer sent before it went is still to be read, the answers that we wait for perhaps: the link
    /// gives it out first and then the error that ends the connection.
    fn sending_failed(&mut self, error: &LinkError, after: &mut After) {
        match error {
            LinkError::TooLarge { .. } | LinkError::Empty => self.link_failed(error, after),
            _ => self.mute = true,
        }
    }
}
