//! What a handler gives or raises, as the wire carries it: results are checked against the hint, declared exceptions take their details along.

use procall::{Connection, Encoded, Encoding, Error, ErrorCode, FieldError, Lent};
use pyo3::prelude::*;

use super::method::kind_of;
use crate::convert;
use crate::error;

/// What is known of a method's results and errors.
pub(super) struct Outcome {
    /// The kinds of values that fit the hint, as bits; 0 takes anything.
    types: u32,
    /// Gives what is wrong with a value that has gone through the wire's form; absent when the types say all.
    check: Option<Py<PyAny>>,
    /// A tuple of the exception classes that the method declares.
    raises: Option<Py<PyAny>>,
}

impl Outcome {
    pub(super) fn from_python(description: &Bound<'_, PyAny>) -> PyResult<Self> {
        let raises = description.getattr("raises")?;
        Ok(Self {
            types: description.getattr("result_types")?.extract()?,
            check: description.getattr("check_result")?.extract()?,
            raises: raises.is_truthy()?.then(|| raises.unbind()),
        })
    }

    /// A result or item as the wire carries it; `what` is "the result" or "the item".
    pub(super) fn encode(
        &self,
        connection: &Connection,
        value: &Bound<'_, PyAny>,
        what: &str,
    ) -> Result<Encoded, Error> {
        let mut bytes = Vec::new();
        let (encoded, lent) =
            procall::lending(connection.clone(), false, || convert::encode(value, &mut bytes));
        encoded.map_err(|refusal| error::unsendable(&refusal, what))?;
        if let Some(check) = &self.check
            && (self.types == 0 || kind_of(value) & self.types == 0)
        {
            self.look(value.py(), check, (&bytes, &lent), what)?;
        }
        Ok(Encoded { lent, ..Encoded::new(Encoding::Msgpack, bytes) })
    }

    /// Checks what the caller would get: a dataclass is a dict there, and a number of numpy's a plain one.
    fn look(
        &self,
        py: Python<'_>,
        check: &Py<PyAny>,
        (bytes, lent): (&[u8], &Lent),
        what: &str,
    ) -> Result<(), Error> {
        let invalid = |message: String, fields: Vec<FieldError>| {
            Error::new(ErrorCode::InvalidResult, message).with_fields(fields)
        };
        let value = convert::decode_checked(py, bytes, lent)
            .map_err(|refusal| error::unsendable(&refusal, what))?;
        let wrong = check
            .bind(py)
            .call1((value, what))
            .and_then(|wrong| wrong.extract::<Option<(String, Vec<(String, String)>)>>())
            .map_err(|raised| {
                let line = error::one_line(py, &raised);
                invalid(format!("{what} could not be checked: {line}"), Vec::new())
            })?;
        match wrong {
            None => Ok(()),
            Some((message, fields)) => Err(invalid(message, super::method::fields(fields))),
        }
    }

    /// What the handler raised, as its caller will see it.
    pub(super) fn failed(&self, py: Python<'_>, raised: &PyErr) -> Error {
        error::of_handler(py, raised, self.raises.as_ref().map(|raises| raises.bind(py)))
    }
}
