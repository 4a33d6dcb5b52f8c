//! Closures as handlers: arguments from params, results to bodies, schemas from types.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream as FutureStream;
use procall_proto::Executed;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::handler::{Answer, Arrival, Handler};
use super::params::{Bound, Signature};
use crate::connection::Encoded;
use crate::context::Context;
use crate::error::{Error, IntoError};
use crate::stream::Stream;

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
}

/// The JSON Schema of a type.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    generator().into_root_schema_for::<T>().to_value()
}

/// One parameter in a schema of params.
#[doc(hidden)]
#[derive(Debug)]
pub struct Parameter {
    /// The schema by itself.
    schema: Value,
    /// The schema as a part of another one, whose generator collects what recursive types refer to.
    part: fn(&mut SchemaGenerator) -> Schema,
    required: bool,
}

impl Parameter {
    /// The parameter of a type.
    pub fn of<T: JsonSchema>() -> Self {
        // What serde takes from nil is not required: schemars marks such types as allowing null.
        let schema = schema_of::<T>();
        let nullable = match schema.get("type") {
            Some(Value::Array(types)) => types.contains(&json!("null")),
            Some(kind) => kind == "null",
            None => schema
                .get("anyOf")
                .and_then(Value::as_array)
                .is_some_and(|any| any.contains(&json!({"type": "null"}))),
        };
        Self { schema, part: SchemaGenerator::subschema_for::<T>, required: !nullable }
    }
}

/// What binding a call needs to know of a method's parameters, besides their names.
#[derive(Debug)]
pub(crate) struct Expected {
    required: Vec<bool>,
    takes_whole: bool,
}

impl Expected {
    pub(crate) fn of(parameters: &[Parameter]) -> Self {
        let takes_whole = matches!(parameters, [only] if only.schema.get("type") == Some(&json!("object"))
                && only.schema.get("x-procall").is_none());
        Self {
            required: parameters.iter().map(|parameter| parameter.required).collect(),
            takes_whole,
        }
    }

    pub(crate) fn bind<'a>(&'a self, call: &Arrival<'a>) -> Result<Bound<'a>, Error> {
        let (required, takes_whole) = (&self.required, self.takes_whole);
        call.params()?.bind(Signature { names: call.names(), required, takes_whole })
    }
}

/// The schema of a method's params: an object with one property a parameter.
pub(crate) fn params_schema(names: &[String], parameters: Vec<Parameter>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut generator = generator();
    for (name, parameter) in names.iter().zip(parameters) {
        if parameter.required {
            required.push(Value::from(name.clone()));
        }
        properties.insert(name.clone(), (parameter.part)(&mut generator).to_value());
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema["$defs"] = Value::Object(definitions);
    }
    schema
}

/// Gives the properties of a schema of params other names.
pub(crate) fn rename(schema: &mut Value, from: &[String], to: &[&str]) {
    let new_name =
        |old: &str| from.iter().position(|name| name == old).map_or(old, |at| to[at]).to_owned();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        *properties = std::mem::take(properties)
            .into_iter()
            .map(|(name, value)| (new_name(&name), value))
            .collect();
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        for name in required {
            *name = Value::from(new_name(name.as_str().unwrap_or_default()));
        }
    }
}

/// Arguments that can be decoded: tuples of up to six.
pub trait Arguments: Sized {
    /// Decodes them.
    #[doc(hidden)]
    fn decode(bound: &Bound<'_>) -> Result<Self, Error>;

    #[doc(hidden)]
    fn parameters() -> Vec<Parameter>;
}

/// A function of arguments that can be decoded: implemented for closures of up to six parameters, the first of which may be a [`Context`].
#[diagnostic::on_unimplemented(
    message = "this closure cannot serve a method",
    note = "its parameters must be `Deserialize + JsonSchema`, at most six, optionally with a `procall::Context` first"
)]
pub trait Function<Args, R>: Send + Sync + 'static {
    /// The arguments without the context.
    #[doc(hidden)]
    type Arguments: Arguments;

    /// Whether it takes a context, which is made only then.
    #[doc(hidden)]
    const CONTEXT: bool;

    #[doc(hidden)]
    fn invoke(&self, context: Option<Context>, arguments: Self::Arguments) -> R;
}

/// Marks a function whose first parameter is the context.
#[derive(Debug)]
pub struct WithContext<Args>(std::marker::PhantomData<Args>);

macro_rules! functions {
    ($(($($arg:ident $at:tt),*))*) => {$(
        impl<$($arg: DeserializeOwned + JsonSchema),*> Arguments for ($($arg,)*) {
            #[allow(unused_variables, reason = "no arguments need no decoding")]
            fn decode(bound: &Bound<'_>) -> Result<Self, Error> {
                Ok(($(bound.argument::<$arg>($at)?,)*))
            }

            fn parameters() -> Vec<Parameter> {
                vec![$(Parameter::of::<$arg>()),*]
            }
        }

        impl<F, R, $($arg),*> Function<($($arg,)*), R> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            $($arg: DeserializeOwned + JsonSchema,)*
        {
            type Arguments = ($($arg,)*);

            const CONTEXT: bool = false;

            #[allow(non_snake_case, reason = "the macro reuses the type parameters' names")]
            fn invoke(&self, _: Option<Context>, ($($arg,)*): ($($arg,)*)) -> R {
                self($($arg),*)
            }
        }

        impl<F, R, $($arg),*> Function<WithContext<($($arg,)*)>, R> for F
        where
            F: Fn(Context, $($arg),*) -> R + Send + Sync + 'static,
            $($arg: DeserializeOwned + JsonSchema,)*
        {
            type Arguments = ($($arg,)*);

            const CONTEXT: bool = true;

            #[allow(non_snake_case, reason = "the macro reuses the type parameters' names")]
            fn invoke(&self, context: Option<Context>, ($($arg,)*): ($($arg,)*)) -> R {
                self(context.expect("it is made for every function that takes one"), $($arg),*)
            }
        }
    )*};
}

functions! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, G 5)
}

/// A closure and what to do with its result.
pub(crate) struct Typed<F, W, Marker> {
    pub(crate) function: F,
    pub(crate) expected: Expected,
    /// Result to answer.
    pub(crate) wrap: W,
    pub(crate) marker: std::marker::PhantomData<fn() -> Marker>,
}

impl<F, W, Args, R> Handler for Typed<F, W, (Args, R)>
where
    F: Function<Args, R>,
    W: Fn(R) -> Answer + Send + Sync + 'static,
    Args: 'static,
    R: 'static,
{
    fn call(&self, call: &Arrival<'_>) -> Answer {
        match self.expected.bind(call).and_then(|bound| F::Arguments::decode(&bound)) {
            Ok(arguments) => {
                let context = F::CONTEXT.then(|| call.context());
                (self.wrap)(self.function.invoke(context, arguments))
            }
            Err(error) => Answer::Ready(Err(error)),
        }
    }
}

/// A closure that may block.
pub(crate) struct Blocking<F, Marker> {
    pub(crate) function: Arc<F>,
    pub(crate) expected: Expected,
    pub(crate) marker: std::marker::PhantomData<fn() -> Marker>,
}

impl<F, Args, R, E> Handler for Blocking<F, (Args, R, E)>
where
    F: Function<Args, Result<R, E>>,
    F::Arguments: Send + 'static,
    Args: 'static,
    R: Serialize + 'static,
    E: IntoError + 'static,
{
    fn call(&self, call: &Arrival<'_>) -> Answer {
        match self.expected.bind(call).and_then(|bound| F::Arguments::decode(&bound)) {
            Ok(arguments) => {
                let context = F::CONTEXT.then(|| call.context());
                let function = self.function.clone();
                Answer::Blocking(Box::new(move || encoded(function.invoke(context, arguments))))
            }
            Err(error) => Answer::Ready(Err(error)),
        }
    }
}

pub(crate) fn value_answer<T: Serialize>(value: T) -> Answer {
    Answer::Ready(Encoded::of(&value))
}

pub(crate) fn result_answer<T: Serialize, E: IntoError>(result: Result<T, E>) -> Answer {
    Answer::Ready(encoded(result))
}

pub(crate) fn encoded<T: Serialize, E: IntoError>(result: Result<T, E>) -> Result<Encoded, Error> {
    result.map_err(ran).and_then(|value| Encoded::of(&value))
}

/// What a handler failed with. It ran, whatever its error says: one of a call that it made in turn tells of that call.
pub(crate) fn ran(error: impl IntoError) -> Error {
    error.into_error().with_executed(Executed::Yes)
}

pub(crate) fn future_answer<Fut, T, E>(future: Fut) -> Answer
where
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: IntoError,
{
    Answer::Future(Box::pin(async move { encoded(future.await) }))
}

pub(crate) fn stream_answer<T: Serialize + DeserializeOwned + 'static>(
    stream: Stream<T>,
) -> Answer {
    Answer::Stream(Box::pin(EncodeItems(stream)))
}

/// Encodes what a stream gives.
pub(crate) struct EncodeItems<T>(pub(crate) Stream<T>);

impl<T: Serialize + DeserializeOwned> FutureStream for EncodeItems<T> {
    type Item = Result<Encoded, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|item| item.map(encoded))
    }
}
