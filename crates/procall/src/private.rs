//! What the code made by `#[procall::service]` calls. No part of the public interface: it changes without notice.

use std::sync::Arc;

use futures_core::Stream as FutureStream;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::Channel;
use crate::client::AsChannel;
use crate::error::{Error, IntoError};
use crate::registration::{DeclaredError, MethodInfo, Shape};
use crate::service::{
    Answer, Arrival, Bound, EncodeItems, Expected, Handler, Parameter, Service, encoded,
};
use crate::service::{params_schema, ran, schema_of};
use crate::stream::Stream;

/// The channel of a generated client.
#[derive(Clone)]
pub struct ClientChannel(Arc<dyn Channel>);

impl ClientChannel {
    /// The channel of anything that takes calls.
    pub fn new(channel: &(impl AsChannel + ?Sized)) -> Self {
        Self(channel.as_channel())
    }
}

impl AsChannel for ClientChannel {
    fn as_channel(&self) -> Arc<dyn Channel> {
        self.0.clone()
    }
}

impl std::fmt::Debug for ClientChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// What a trait says of one method.
#[derive(Debug)]
pub struct Method {
    info: MethodInfo,
    parameters: Vec<Parameter>,
}

impl Method {
    /// A method and its documentation.
    pub fn new(name: &str, description: &str) -> Self {
        let info = MethodInfo {
            name: name.to_owned(),
            description: description.to_owned(),
            ..MethodInfo::default()
        };
        Self { info, parameters: Vec::new() }
    }

    /// The next parameter.
    #[must_use]
    pub fn parameter<T: JsonSchema>(mut self, name: &str) -> Self {
        self.info.params.push(name.to_owned());
        self.parameters.push(Parameter::of::<T>());
        self
    }

    /// The result, or one item of it.
    #[must_use]
    pub fn result<T: JsonSchema>(mut self) -> Self {
        self.info.result_schema = Some(schema_of::<T>());
        self
    }

    /// Which streams it has.
    #[must_use]
    pub fn shape(mut self, items_in: bool, items_out: bool) -> Self {
        self.info.shape = Shape::new(items_in, items_out);
        self
    }

    /// Whether it may run more than once without harm.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.info.idempotent = idempotent;
        self
    }

    /// Names of errors of its own.
    #[must_use]
    pub fn errors(mut self, names: &[&str]) -> Self {
        self.info.errors = names.iter().map(|&name| DeclaredError::new(name)).collect();
        self
    }

    /// Adds it to a service.
    #[must_use]
    pub fn serve<F>(self, service: Service, begin: F) -> Service
    where
        F: Fn(&Arrival<'_>, &Bound<'_>) -> Result<Answer, Error> + Send + Sync + 'static,
    {
        let Self { mut info, parameters } = self;
        let expected = Expected::of(&parameters);
        info.params_schema = Some(params_schema(&info.params, parameters));
        service.method_info(info, Begin { expected, begin })
    }
}

struct Begin<F> {
    expected: Expected,
    begin: F,
}

impl<F> Handler for Begin<F>
where
    F: Fn(&Arrival<'_>, &Bound<'_>) -> Result<Answer, Error> + Send + Sync + 'static,
{
    fn call(&self, call: &Arrival<'_>) -> Answer {
        let answer = self.expected.bind(call).and_then(|bound| (self.begin)(call, &bound));
        answer.unwrap_or_else(|error| Answer::Ready(Err(error)))
    }
}

/// The answer of a function that has run.
pub fn ready<T: Serialize, E: IntoError>(result: Result<T, E>) -> Answer {
    Answer::Ready(encoded(result))
}

/// The answer of a function that may block.
pub fn blocking<T, E, F>(function: F) -> Answer
where
    T: Serialize,
    E: IntoError,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    Answer::Blocking(Box::new(move || encoded(function())))
}

/// The answer of an async function.
pub fn future<T, E, F>(future: F) -> Answer
where
    T: Serialize,
    E: IntoError,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    Answer::Future(Box::pin(async move { encoded(future.await) }))
}

/// The stream of a function that has run.
pub fn stream<T, E>(result: Result<Stream<T>, E>) -> Answer
where
    T: Serialize + DeserializeOwned + 'static,
    E: IntoError,
{
    match result {
        Ok(stream) => Answer::Stream(Box::pin(EncodeItems(stream))),
        Err(error) => Answer::Ready(Err(ran(error))),
    }
}

/// The stream of an async function.
pub fn stream_future<T, E, F>(future: F) -> Answer
where
    T: Serialize + DeserializeOwned + 'static,
    E: IntoError,
    F: Future<Output = Result<Stream<T>, E>> + Send + 'static,
{
    use std::pin::Pin;
    use std::task::{Context, Poll};

    enum Opening<T> {
        Future(Pin<Box<dyn Future<Output = Result<Stream<T>, Error>> + Send>>),
        Open(EncodeItems<T>),
        Over,
    }

    impl<T: Serialize + DeserializeOwned> FutureStream for Opening<T> {
        type Item = Result<crate::connection::Encoded, Error>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            if let Self::Future(future) = &mut *self {
                match future.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(stream)) => *self = Self::Open(EncodeItems(stream)),
                    Poll::Ready(Err(error)) => {
                        *self = Self::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
            match &mut *self {
                Self::Open(stream) => Pin::new(stream).poll_next(cx),
                Self::Future(_) | Self::Over => Poll::Ready(None),
            }
        }
    }

    let future = async move { future.await.map_err(ran) };
    Answer::Stream(Box::pin(Opening::Future(Box::pin(future))))
}
