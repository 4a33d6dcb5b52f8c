//! A service whose calls go on to a channel: what stands in front of a pool.

use std::sync::Arc;

use procall_proto::{Body, ErrorCode};

use super::Service;
use super::handler::{Answer, Arrival, Handler};
use super::relayed::Unwatched;
use crate::chain;
use crate::channel::Channel;
use crate::connection::{CallOptions, Request, wishes};
use crate::error::Error;
use crate::registration::{MethodInfo, is_name};

/// Calls a relay says it takes at once: the channel behind it has bounds of its own, and says so with OVERLOADED.
const CONCURRENCY: u32 = 1 << 16;

impl Service {
    /// A service that offers what a channel serves, a pool's workers for instance, and hands every call on to it.
    ///
    /// Bodies are never decoded. Streams, progress, cancelling, metadata and what is left of the deadline pass in the direction they have;
    /// errors come back as they are. The metadata `to` and `key` choose the worker where there is a choice. Methods keep their names; one
    /// without a dot is put under `name`. The list of methods is the one the channel knows now; UNAVAILABLE when it knows none yet.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
    /// use std::sync::Arc;
    ///
    /// use procall::transport::{LinkOptions, mem};
    /// use procall::{Client, Service};
    ///
    /// let (near, far) = mem::pair(&LinkOptions::default()).unwrap();
    /// Service::new("calc").method("add", |a: i64, b: i64| a + b).serve_link(Box::new(far))?;
    /// let calc = Client::over(Box::new(near)).await?;
    /// // What is served at the other end comes a moment after the handshake.
    /// std::future::poll_fn(|cx| calc.connection().poll_peer_registration(cx.waker())).await?;
    /// let relay = Service::relay("calc", Arc::new(calc))?;
    ///
    /// let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    /// relay.serve_link(Box::new(theirs))?;
    /// let client = Client::over(Box::new(ours)).await?;
    /// assert_eq!(client.call::<i64>("calc.add", (2, 3)).await?, 5);
    /// # Ok(()) }
    /// ```
    pub fn relay(name: impl Into<String>, channel: Arc<dyn Channel>) -> Result<Self, Error> {
        let name = name.into();
        if !is_name(&name) {
            return Err(Error::invalid(format!(
                "\"{}\" cannot name a service",
                name.escape_default()
            )));
        }
        let known = channel.registration().ok_or_else(|| {
            let message = "what is behind the relay has not told yet what it serves";
            Error::new(ErrorCode::Unavailable, message)
        })?;
        let mut service = Self::new(name)
            .version(&known.version)
            .description(&known.description)
            .concurrency(CONCURRENCY);
        for method in &known.methods {
            let full = match method.name.contains('.') {
                true => method.name.clone(),
                false => format!("{}.{}", service.registration.name, method.name),
            };
            let taken = service.registration.methods.iter().any(|other| other.name == full);
            if taken || !is_name(&full) {
                return Err(Error::invalid(format!(
                    "method \"{}\" cannot be relayed: the name is taken, or is none",
                    full.escape_default()
                )));
            }
            let relay = Relay {
                channel: channel.clone(),
                method: method.name.clone(),
                idempotent: method.idempotent,
            };
            service = service.method_info(MethodInfo { name: full, ..method.clone() }, relay);
        }
        Ok(service)
    }
}

/// One method of a relay.
struct Relay {
    channel: Arc<dyn Channel>,
    /// As the channel calls it.
    method: String,
    idempotent: bool,
}

impl Handler for Relay {
    fn call(&self, call: &Arrival<'_>) -> Answer {
        let shape = call.shape();
        let deadline = call.deadline_left();
        let (to, key) = wishes::of(call.raw_meta());
        let request = Request {
            method: &self.method,
            body: Body::new(call.encoding(), call.body()).holding(call.lent().held()),
            options: CallOptions {
                deadline,
                idempotent: self.idempotent || call.is_idempotent(),
                meta: match call.to_answer() {
                    Some((connection, id)) => chain::handed_on(call.raw_meta(), &connection, id),
                    None => call.raw_meta().to_vec(),
                },
                items_in: shape.items_in(),
                items_out: shape.items_out(),
                key: key.map(Into::into),
                to: to.map(Into::into),
                ..CallOptions::default()
            },
        };
        let Some((connection, id)) = call.to_answer() else {
            // A notification is sent at most once and never answered: nobody is there to hear of this.
            let _ = self.channel.notify(request);
            return Answer::Later;
        };
        // What is handed on stays the same call, and has its chain already.
        match chain::outside(|| self.channel.start(request)) {
            Ok(started) => {
                // It goes on by itself.
                let _ = connection.answer_with(id, shape, started, Unwatched);
                Answer::Later
            }
            Err(error) => Answer::Ready(Err(error)),
        }
    }
}
