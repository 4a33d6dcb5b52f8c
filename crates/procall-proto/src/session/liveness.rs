//! Pings, pongs and heartbeats: is the peer responsive?

use std::collections::VecDeque;
use std::time::Duration;

use super::Session;
use super::event::Event;
use crate::{Fault, Heartbeat, Message, Time};

/// Our own pings never come faster than this, whatever the caller asks.
const MIN_PING: Duration = Duration::from_millis(150);
const SECOND: Duration = Duration::from_secs(1);

/// Heartbeats stop at this many unanswered pings: a peer that was stopped for an hour must not wake up to a flood of them.
const MAX_WAITING: usize = 3;

#[derive(Debug)]
pub(super) struct Liveness {
    heartbeat: Option<Heartbeat>,
    next_beat: Time,
    /// Nonces and times of the pings that wait for their pongs, oldest first.
    waiting: VecDeque<(u64, Time)>,
    nonce: u64,
    missed: u32,
    suspected: bool,
    last_sent: Option<Time>,
    /// When the peer's pings of the last second came.
    pings: VecDeque<Time>,
}

impl Liveness {
    pub(super) fn new(mut heartbeat: Option<Heartbeat>, now: Time) -> Self {
        if let Some(beat) = &mut heartbeat {
            beat.interval = beat.interval.max(MIN_PING);
            beat.timeout = beat.timeout.max(MIN_PING);
        }
        let next_beat = heartbeat.as_ref().map_or(Time::NEVER, |beat| now + beat.interval);
        Self {
            heartbeat,
            next_beat,
            waiting: VecDeque::new(),
            nonce: 0,
            missed: 0,
            suspected: false,
            last_sent: None,
            pings: VecDeque::new(),
        }
    }

    pub(super) fn timeout(&self) -> Time {
        self.next_beat
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected
    }
}

impl Session {
    /// Asks the peer for a sign of life; [`Event::Pong`] is the answer.
    /// `None` when the last ping is too recent or unanswered, or the session is not ready.
    pub fn ping(&mut self, now: Time) -> Option<u64> {
        let recent = self.liveness.last_sent.is_some_and(|sent| now - sent < MIN_PING);
        if !self.is_ready() || recent || !self.liveness.waiting.is_empty() {
            return None;
        }
        Some(self.send_ping(now))
    }

    pub(super) fn send_ping(&mut self, now: Time) -> u64 {
        self.liveness.nonce += 1;
        let nonce = self.liveness.nonce;
        self.liveness.waiting.push_back((nonce, now));
        self.liveness.last_sent = Some(now);
        self.outbox.control(&Message::Ping { nonce });
        nonce
    }

    pub(super) fn handle_ping(&mut self, now: Time, nonce: u64) -> Result<(), Fault> {
        let pings = &mut self.liveness.pings;
        while pings.front().is_some_and(|&came| now - came >= SECOND) {
            pings.pop_front();
        }
        pings.push_back(now);
        if pings.len() > self.config.limits.max_pings as usize {
            return Err(Fault::protocol(format!(
                "more than {} pings in one second",
                self.config.limits.max_pings
            )));
        }
        self.outbox.control(&Message::Pong { nonce });
        Ok(())
    }

    pub(super) fn handle_pong<'a>(&mut self, now: Time, nonce: u64) -> Option<Event<'a>> {
        self.drain_pong(nonce);
        let live = &mut self.liveness;
        // Pongs come in the order of their pings; whichever comes, the peer lives.
        let at = live.waiting.iter().position(|&(waiting, _)| waiting == nonce)?;
        let (_, sent) = live.waiting.drain(..=at).next_back()?;
        live.missed = 0;
        if let Some(heartbeat) = live.heartbeat.as_ref().filter(|_| live.waiting.is_empty()) {
            live.next_beat = sent + heartbeat.interval;
        }
        if std::mem::take(&mut live.suspected) {
            self.events.push_back(Event::Recovered);
        }
        Some(Event::Pong { nonce, round_trip: now - sent })
    }

    /// Sends the heartbeat that is due, or counts the one that was missed.
    pub(super) fn beat(&mut self, now: Time) {
        if now < self.liveness.next_beat || !self.is_ready() {
            return;
        }
        let live = &mut self.liveness;
        let Some(heartbeat) = &live.heartbeat else { return };
        if let Some(&(_, sent)) = live.waiting.back() {
            if now - sent < heartbeat.timeout {
                live.next_beat = sent + heartbeat.timeout;
                return;
            }
            live.missed = live.missed.saturating_add(1);
            if live.missed >= heartbeat.misses && !live.suspected {
                live.suspected = true;
                self.events.push_back(Event::Suspected);
            }
        }
        live.next_beat = now + heartbeat.timeout;
        if live.waiting.len() < MAX_WAITING {
            self.send_ping(now);
        }
    }
}
