//! Arguments of a call as its params.

use procall::{Body, Encoding, FieldError, Lent};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::caller::Caller;
use crate::convert::{self, Refusal};
use crate::error;

/// Encoded params.
pub(super) struct Params {
    encoding: Encoding,
    bytes: Vec<u8>,
    lent: Lent,
}

impl Params {
    pub(super) fn body(&mut self) -> Body<'_> {
        let held = self.lent.held();
        Body::taken(self.encoding, &mut self.bytes).holding(held)
    }
}

/// Arguments by position become an array, by name a map. Both together need the method's signature, which the registration knows.
pub(super) fn encode(
    caller: &Caller,
    method: &str,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Params> {
    let py = args.py();
    let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
    let mut bytes = Vec::new();
    if kwargs.is_none() && args.is_empty() {
        return Ok(Params { encoding: Encoding::None, bytes, lent: Lent::NONE });
    }
    let joined = match kwargs {
        Some(kwargs) if !args.is_empty() => Some(join(caller, method, args, kwargs)?),
        _ => None,
    };
    let (encoded, lent) = caller.lending(|| match joined.as_ref().or(kwargs) {
        None => convert::encode(args.as_any(), &mut bytes)
            .map_err(|refusal| describe(refusal, caller, method)),
        Some(kwargs) => named(kwargs, &mut bytes),
    });
    match encoded {
        Ok(()) => Ok(Params { encoding: Encoding::Msgpack, bytes, lent }),
        Err(error) => Err(error::raise(py, &error)),
    }
}

fn named(kwargs: &Bound<'_, PyDict>, bytes: &mut Vec<u8>) -> Result<(), procall::Error> {
    convert::encode(kwargs.as_any(), bytes).map_err(|refusal| error::refused(&refusal, "argument"))
}

/// A refusal of an argument by position, by its name where that is known.
fn describe(refusal: Refusal, caller: &Caller, method: &str) -> procall::Error {
    let pointer = refusal.pointer();
    let refusal = refusal.in_argument(|at| {
        let name = caller.signature(method).and_then(|info| info.params.get(at).cloned());
        name.unwrap_or_else(|| format!("#{}", at + 1))
    });
    let field = FieldError { path: pointer, message: refusal.message().to_owned() };
    error::refused(&refusal, "argument").with_fields(vec![field])
}

fn join<'py>(
    caller: &Caller,
    method: &str,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = args.py();
    let Some(info) = caller.signature(method) else {
        return Err(error::invalid(
            py,
            format!(
                "arguments by position and by name cannot be mixed, because the signature of {method} is not known; \
                 pass all of them by position or all by name"
            ),
        ));
    };
    let names = &info.params;
    let joined = kwargs.copy()?;
    for (at, argument) in args.iter().enumerate() {
        let Some(name) = names.get(at) else {
            let count = args.len();
            let message =
                format!("{} takes {} arguments by position, {count} given", info.name, names.len());
            return Err(error::invalid(py, message));
        };
        if kwargs.contains(name)? {
            return Err(error::invalid(
                py,
                format!("argument {name} is given by position and by name"),
            ));
        }
        joined.set_item(name, argument)?;
    }
    Ok(joined)
}
