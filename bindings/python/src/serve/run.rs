//! One incoming call: from its name to its answer, or into the hands of an event loop.

use std::time::{Duration, Instant};

use procall::{
    Batch, CallId, Connection, Encoded, Encoding, Error, ErrorCode, Executed, Incoming,
    MethodTable, Target,
};
use pyo3::prelude::*;

use super::answers::Answers;
use super::call::{Call, Handed};
use super::context::Context;
use super::current;
use super::emit::Emitter;
use super::items::{AsyncItems, Items};
use super::method::{Arguments, Kind, Method, Raw};
use crate::error;
use crate::hub::Hub;

/// What serves.
pub(super) struct Handlers {
    pub(super) table: MethodTable,
    pub(super) methods: Vec<Method>,
    /// Plain handlers run on threads of their own.
    pub(super) threads: bool,
    /// The registration, encoded: the answer of `procall.methods`.
    pub(super) document: Vec<u8>,
    /// The event loop's, once there is one; items of async handlers are awaited there.
    pub(super) hub: Option<Py<Hub>>,
}

/// What a call leaves to be done.
pub(super) enum Rest {
    /// It is answered, or will never be.
    Nothing,
    /// A generator that gives the answer.
    Emit(Emitter),
    /// A call for the event loop.
    Await(Call),
}

/// A call of a batch, and where its answer goes.
pub(super) struct Incomer<'a> {
    pub(super) connection: &'a Connection,
    pub(super) batch: &'a Batch,
    pub(super) call: &'a Incoming,
}

impl Handlers {
    /// Reads the descriptions that `procall._service` makes.
    pub(super) fn from_python(
        document: &Bound<'_, PyAny>,
        methods: &Bound<'_, PyAny>,
        hub: Option<Py<Hub>>,
        threads: bool,
    ) -> PyResult<Self> {
        let registration = crate::registration::from_python(document)?;
        let methods = methods
            .try_iter()?
            .map(|method| Method::from_python(&method?))
            .collect::<PyResult<Vec<_>>>()?;
        let document = crate::registration::encode(&registration)?;
        let table = MethodTable::new(registration);
        Ok(Self { table, methods, threads, document, hub })
    }

    /// Whether a call is for an event loop or for another thread.
    pub(super) fn is_handed_over(&self, incomer: &Incomer<'_>) -> bool {
        let Incomer { batch, call, .. } = incomer;
        let target = self.table.resolve(batch.method(call), call.items_in, call.items_out);
        matches!(target, Ok(Target::Method(at)) if self.threads || self.methods[at].kind.is_async())
    }

    /// Serves one call. Exceptions that are no `Exception`, such as `KeyboardInterrupt`, are answered and passed on.
    pub(super) fn serve(
        &self,
        py: Python<'_>,
        incomer: &Incomer<'_>,
        answers: &mut Answers<'_>,
    ) -> PyResult<Rest> {
        let id = incomer.call.id;
        let remaining = incomer.call.remaining();
        let prepared = self.prepare(py, incomer, remaining);
        let (method, arguments) = match prepared {
            Ok(Prepared::Run(method, arguments)) => (method, arguments),
            Ok(Prepared::Answer(answer)) => {
                push(answers, id, Ok(answer));
                return Ok(Rest::Nothing);
            }
            Err(error) => {
                push(answers, id, Err(error));
                return Ok(Rest::Nothing);
            }
        };
        let Arguments { args, kwargs } = arguments;
        let is_async = method.kind.is_async();
        if is_async || self.threads {
            let streams = matches!(method.kind, Kind::AsyncGenerator | Kind::Generator);
            let handler = method.handler.clone_ref(py);
            let kwargs = kwargs.map(Bound::unbind);
            let connection = incomer.connection.clone();
            let outcome = method.outcome.clone();
            let what = Handed { handler, args: args.unbind(), kwargs, outcome, streams, is_async };
            let call = Call::new(connection, id, what);
            return Ok(Rest::Await(call));
        }
        if !method.pace.is_quick() {
            answers.flush();
        }
        let begun = Instant::now();
        let outcome = current::within(incomer.connection, id, remaining, || {
            method.handler.bind(py).call(args, kwargs.as_ref())
        });
        let ended = Instant::now();
        method.pace.note(ended - begun);
        let rest = match outcome {
            Ok(generator) if method.kind == Kind::Generator => match id {
                Some(id) => {
                    let connection = incomer.connection.clone();
                    Rest::Emit(Emitter::new(
                        connection,
                        id,
                        generator.unbind(),
                        method.outcome.clone(),
                    ))
                }
                None => Rest::Nothing,
            },
            Ok(value) => {
                push(answers, id, method.outcome.encode(incomer.connection, &value, "the result"));
                Rest::Nothing
            }
            Err(raised) => {
                match id {
                    Some(id) => answers.push(id, Err(method.outcome.failed(py, &raised))),
                    None => {
                        raised.clone_ref(py).write_unraisable(py, Some(method.handler.bind(py)))
                    }
                }
                super::pass_on(py, raised)?;
                Rest::Nothing
            }
        };
        answers.flush_due(ended);
        Ok(rest)
    }

    fn prepare<'a, 'py>(
        &'a self,
        py: Python<'py>,
        incomer: &Incomer<'_>,
        remaining: Option<Duration>,
    ) -> Result<Prepared<'a, 'py>, Error> {
        let Incomer { connection, batch, call } = incomer;
        if call.id.is_some_and(|id| !connection.is_wanted(id)) {
            return Err(unwanted(Executed::No));
        }
        if remaining.is_some_and(|left| left.is_zero()) {
            return Err(Error::new(
                ErrorCode::DeadlineExceeded,
                "the deadline passed while the call waited here",
            )
            .with_executed(Executed::No));
        }
        let method = match self.table.resolve(batch.method(call), call.items_in, call.items_out)? {
            Target::Method(at) => &self.methods[at],
            Target::Methods => {
                let bytes = self.document.clone();
                return Ok(Prepared::Answer(Encoded::new(Encoding::Msgpack, bytes)));
            }
            Target::Ping => {
                return Ok(Prepared::Answer(Encoded::new(Encoding::None, Vec::new())));
            }
        };
        let made = |made: PyResult<Bound<'py, PyAny>>| {
            made.map_err(|raised| Error::new(ErrorCode::Internal, error::one_line(py, &raised)))
        };
        let context = if method.needs_context() {
            let context = Context {
                connection: Connection::clone(connection),
                id: call.id,
                method: method.name.clone(),
                meta: batch.meta(call).to_vec(),
            };
            Some(made(context.into_pyobject(py).map(Bound::into_any))?)
        } else {
            None
        };
        let items = match call.id {
            Some(id) if method.needs_items() => Some(made(self.items(py, method, connection, id))?),
            _ => None,
        };
        let params =
            Raw { encoding: call.encoding, bytes: batch.body(call), lent: batch.lent(call) };
        let arguments = method.bind(py, params, context.as_ref(), items.as_ref())?;
        Ok(Prepared::Run(method, arguments))
    }

    fn items<'py>(
        &self,
        py: Python<'py>,
        method: &Method,
        connection: &Connection,
        id: CallId,
    ) -> PyResult<Bound<'py, PyAny>> {
        let connection = connection.clone();
        match &self.hub {
            Some(hub) if method.kind.is_async() => {
                let items = AsyncItems { connection, id, hub: hub.clone_ref(py) };
                items.into_pyobject(py).map(Bound::into_any)
            }
            _ => Items { connection, id }.into_pyobject(py).map(Bound::into_any),
        }
    }
}

enum Prepared<'a, 'py> {
    Run(&'a Method, Arguments<'py>),
    Answer(Encoded),
}

fn push(answers: &mut Answers<'_>, id: Option<CallId>, answer: Result<Encoded, Error>) {
    if let Some(id) = id {
        answers.push(id, answer);
    }
}

/// The answer to a call that nobody waits for any more.
pub(super) fn unwanted(executed: Executed) -> Error {
    Error::new(ErrorCode::Cancelled, "the caller gave the call up").with_executed(executed)
}
