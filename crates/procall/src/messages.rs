//! Messages: a worker that takes one enum after the other from a loop, and answers when it likes.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Poll, Waker};

use procall_transport::Link;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::connection::Responder;
use crate::context::Context;
use crate::error::{Error, IntoError};
use crate::registration::MethodInfo;
use crate::server::Running;
use crate::service::{
    Calls, Parameter, PulledCall, Service, Signature, params_schema, ran, schema_of,
};

/// The one method that takes messages, and its one parameter.
const METHOD: &str = "message";

/// The messages that are sent to this process: `M` comes in, `R` goes out. Await it, or set its name and the like first.
///
/// It serves wherever the surroundings say, as [`Service::run`] does: as the worker of the pool that started this process, else listening
/// under its name. A worker set of the crate `procall-pool` is the other side, or any client: on the wire this is a service with one method,
/// `message`, which takes the message as its only argument. So programs in Python and Node can send messages too:
/// `pool.call("message", {"Add": [6, 7]})`, an enum being written as serde does by default.
///
/// ```no_run
/// use procall::Message;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum HostMessage {
///     Add(u32, u32),
///     Log(String),
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), procall::Error> {
/// let mut messages = procall::messages::<HostMessage, u32>().await?;
/// while let Some(message) = messages.recv().await {
///     match message {
///         Message::Request { data: HostMessage::Add(a, b), reply } => reply.send(a + b),
///         Message::Request { reply, .. } => reply.fail(procall::Error::handler("Unasked", "that needs no answer")),
///         Message::OneWay { data: HostMessage::Log(text) } => println!("{text}"),
///         Message::OneWay { .. } => {}
///     }
/// }
/// # Ok(()) }
/// ```
pub fn messages<M, R>() -> MessagesBuilder<M, R> {
    MessagesBuilder {
        name: "workers".to_owned(),
        concurrency: 1,
        info: MethodInfo {
            name: METHOD.to_owned(),
            params: vec![METHOD.to_owned()],
            ..MethodInfo::default()
        },
        link: None,
        types: PhantomData,
    }
}

/// Messages that are being described. Made by [`messages`]; await it to begin.
#[must_use = "nothing is received before it is awaited"]
pub struct MessagesBuilder<M, R> {
    name: String,
    concurrency: u32,
    info: MethodInfo,
    link: Option<Box<dyn Link>>,
    types: PhantomData<fn(M) -> R>,
}

impl<M, R> MessagesBuilder<M, R> {
    /// The name it is found by when it listens, and the first part of the method's: `workers`, as in `workers.message`.
    ///
    /// # Panics
    ///
    /// Later, when it begins and the name is empty or longer than 255 bytes, or has white space or control characters.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many requests a pool may send before one of them is answered: 1, so that the next one comes when this one is done. With more,
    /// several [replies](Reply) can be held and given in any order. It does not bound one-way messages, nor what clients send to a process
    /// that listens: those wait here, 1,024 at most, until they are received; the next one is refused with OVERLOADED, or dropped when
    /// it is one-way.
    pub fn concurrency(mut self, requests: u32) -> Self {
        self.concurrency = requests;
        self
    }

    /// Tells callers the types, as JSON Schema. Without it they learn the names only.
    pub fn schema(mut self) -> Self
    where
        M: JsonSchema,
        R: JsonSchema,
    {
        self.info.params_schema =
            Some(params_schema(&self.info.params, vec![Parameter::of::<M>()]));
        self.info.result_schema = Some(schema_of::<R>());
        self
    }

    /// Goes over a link of this process's own to the pool that started it; see [`Service::run_over`].
    pub fn over(mut self, link: Box<dyn Link>) -> Self {
        self.link = Some(link);
        self
    }

    /// The service that brings the messages, to be served in a way of your own or to be given further methods, and the messages.
    /// They end when that service does. A link given with [`over`](Self::over) is dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), procall::Error> {
    /// use procall::transport::{LinkOptions, mem};
    /// use procall::{Client, Message};
    ///
    /// let (service, mut messages) = procall::messages::<(u32, u32), u32>().into_service();
    /// # let (ours, theirs) = mem::pair(&LinkOptions::default()).unwrap();
    /// service.serve_link(Box::new(theirs))?;
    /// tokio::spawn(async move {
    ///     while let Some(message) = messages.recv().await {
    ///         if let Message::Request { data: (a, b), reply } = message {
    ///             reply.send(a + b);
    ///         }
    ///     }
    /// });
    /// let workers = Client::over(Box::new(ours)).await?;
    /// assert_eq!(workers.call::<u32>("message", ((6, 7),)).await?, 13);
    /// # Ok(()) }
    /// ```
    pub fn into_service(self) -> (Service, Messages<M, R>) {
        let (service, calls) = Service::new(self.name).concurrency(self.concurrency).pull(&[]);
        let service = service.method_info(self.info, calls.handler());
        let messages = Messages { calls, undecodable: 0, _stop: None, types: PhantomData };
        (service, messages)
    }

    async fn begin(mut self) -> Result<Messages<M, R>, Error> {
        let link = self.link.take();
        let (service, mut messages) = self.into_service();
        let running = Running::begin(service, link).await?;
        let (stop, stopped) = oneshot::channel();
        messages._stop = Some(stop);
        tokio::spawn(running.run_until(async {
            // Nobody sends it: it ends when the messages are dropped.
            let _ = stopped.await;
        }));
        Ok(messages)
    }
}

impl<M: 'static, R: 'static> IntoFuture for MessagesBuilder<M, R> {
    type Output = Result<Messages<M, R>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Registers with the pool, or begins to listen.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

impl<M, R> std::fmt::Debug for MessagesBuilder<M, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessagesBuilder")
            .field("name", &self.name)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// A message as it was sent.
#[derive(Debug)]
pub enum Message<M, R> {
    /// Somebody waits for an answer.
    Request {
        /// The message itself.
        data: M,
        /// Takes the answer, now or later, on any thread.
        reply: Reply<R>,
    },
    /// Nobody waits.
    OneWay {
        /// The message itself.
        data: M,
    },
}

/// The messages sent to this process, one after the other. Made by [`messages`].
///
/// Dropped, it takes no more: messages that wait are refused with UNAVAILABLE, and once the replies that are still held were given, or after
/// ten seconds, this process stops serving.
pub struct Messages<M, R> {
    calls: Calls,
    undecodable: u64,
    /// Stops the serving when this is dropped.
    _stop: Option<oneshot::Sender<()>>,
    types: PhantomData<fn(M) -> R>,
}

impl<M: DeserializeOwned, R> Messages<M, R> {
    /// The next message that is still wanted, in the order of arrival. `None` is the end: the pool is gone or has let this worker go, or the
    /// process was asked to stop (Ctrl-C, SIGTERM) and has answered what it had.
    ///
    /// One that is no `M` does not come here: its sender gets INVALID_ARGUMENT, which says what is wrong with it. Dropping the future loses
    /// no message.
    pub async fn recv(&mut self) -> Option<Message<M, R>> {
        std::future::poll_fn(|cx| self.poll_recv(cx.waker())).await
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, waker: &Waker) -> Poll<Option<Message<M, R>>> {
        loop {
            let call = match self.calls.poll_next(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(call)) => call,
            };
            match decode(&call) {
                Ok(data) => {
                    let (context, responder) = call.into_parts();
                    return Poll::Ready(Some(match responder {
                        Some(responder) => {
                            let reply = Reply { responder, context, result: PhantomData };
                            Message::Request { data, reply }
                        }
                        None => Message::OneWay { data },
                    }));
                }
                Err(error) => {
                    self.undecodable += u64::from(call.is_notification());
                    call.fail(error);
                }
            }
        }
    }

    /// One-way messages that were dropped because they are no `M`. There was nobody to tell.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }
}

fn decode<M: DeserializeOwned>(call: &PulledCall) -> Result<M, Error> {
    let names = [METHOD.to_owned()];
    // A peer that can only name its arguments may send the message as the arguments as a whole, for an enum's value is an object too.
    let signature = Signature { names: &names, required: &[true], takes_whole: true };
    call.arguments()?.bind(signature)?.argument(0)
}

impl<M, R> std::fmt::Debug for Messages<M, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages")
            .field("calls", &self.calls)
            .field("undecodable", &self.undecodable)
            .finish_non_exhaustive()
    }
}

/// Answers one message, at any time and on any thread. Dropped without an answer, the sender gets HANDLER_ERROR: nobody waits for ever.
///
/// ```
/// use procall::Reply;
///
/// async fn render(pages: u32, reply: Reply<u32>) {
///     for page in 1..=pages {
///         if !reply.is_wanted() {
///             return;
///         }
///         reply.context().progress(page.into(), Some(pages.into()), "rendering");
///     }
///     reply.send(pages);
/// }
/// ```
#[must_use = "a reply that is dropped answers with an error"]
pub struct Reply<R> {
    responder: Responder,
    context: Context,
    result: PhantomData<fn(R)>,
}

impl<R> Reply<R> {
    /// Answers with the value; one that cannot be encoded is INVALID_RESULT at the sender.
    pub fn send(self, value: R)
    where
        R: Serialize,
    {
        match crate::connection::Encoded::of(&value) {
            Ok(value) => self.responder.reply(value),
            Err(error) => self.responder.fail(&error),
        }
    }

    /// Answers with an error: an [`Error`], or one of your own that serde can write. The sender sees that its message was handled
    /// (`executed: yes`), whatever the error says of itself.
    pub fn fail(self, error: impl IntoError) {
        self.responder.fail(&ran(error));
    }

    /// Whether the sender still waits: its deadline has not passed, it has not given up, and it is not gone.
    ///
    /// The last two arrive over the link, which the runtime reads: on a runtime of one thread, work that never yields sees the deadline only.
    pub fn is_wanted(&self) -> bool {
        !self.is_late() && !self.context.is_cancelled()
    }

    fn is_late(&self) -> bool {
        self.context.remaining().is_some_and(|left| left.is_zero())
    }

    /// Resolves once the sender no longer waits, so that work can be left undone.
    pub async fn cancelled(&self) {
        self.context.cancelled().await;
    }

    /// The facts that travel with the message: the time left, metadata, and the way to report progress.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<R> std::fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("is_wanted", &self.is_wanted()).finish_non_exhaustive()
    }
}
