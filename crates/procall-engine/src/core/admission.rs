//! What may be registered, and values checked against what was.

use std::sync::Arc;

use procall::{Body, Encoded, Encoding, Error, ErrorCode, FieldError, Registration, Validator};

use super::method::Offer;

/// Names of methods that are the engine's own.
pub(crate) const RESERVED: &str = "procall.";

/// What the relay in front of a pool offers beside the methods of its workers. They are no methods of the engine's directory; the engine
/// itself asks for them.
const OF_RELAYS: [&str; 5] =
    ["procall.workers", "procall.logs", "procall.restart", "procall.drain", "procall.stop"];

/// A registration that stands: its methods by their full names.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) registration: Arc<Registration>,
    pub(crate) methods: Vec<(Arc<str>, Arc<Offer>)>,
    /// Methods that were left out, and why.
    pub(crate) quarantined: Vec<FieldError>,
}

/// Checks a registration: all of it stands, or none, unless it asks for what is wrong to be left out.
pub(crate) fn admit(registration: Registration, builtin: bool) -> Result<Admitted, Error> {
    let service: Arc<str> = registration.name.as_str().into();
    let version: Arc<str> = registration.version.as_str().into();
    let mut wrong = Vec::new();
    let mut methods = Vec::new();
    for (index, info) in registration.methods.iter().enumerate() {
        let mut complain = |field: &str, message: String| {
            wrong.push(FieldError { path: format!("/methods/{index}/{field}"), message });
        };
        let full = match builtin {
            true => format!("{RESERVED}{}", info.name),
            false => full_name(&service, &info.name),
        };
        if !builtin && OF_RELAYS.contains(&&*full) {
            continue;
        }
        if full.starts_with(RESERVED) && !builtin {
            complain("name", format!("\"{full}\" is a name of the engine's own"));
            continue;
        }
        let mut compile = |field: &str, schema: Option<&serde_json::Value>| {
            let compiled = schema.map(Validator::new).transpose();
            compiled.map_err(|error| complain(field, error.message().to_owned()))
        };
        let params = compile("params_schema", info.params_schema.as_ref());
        let result = compile("result_schema", info.result_schema.as_ref());
        if let (Ok(params), Ok(result)) = (params, result) {
            let checked = !info.unchecked;
            let offer = Offer {
                info: info.clone(),
                service: service.clone(),
                version: version.clone(),
                params: params.filter(|_| checked),
                result: result.filter(|_| checked),
            };
            methods.push((Arc::from(full), Arc::new(offer)));
        }
    }
    if !wrong.is_empty() && !registration.quarantine {
        let first = &wrong[0];
        let more = match wrong.len() {
            1 => String::new(),
            many => format!(", and {} more", many - 1),
        };
        return Err(Error::invalid(format!(
            "the registration is refused: {}: {}{more}",
            first.path, first.message
        ))
        .with_fields(wrong));
    }
    Ok(Admitted { registration: Arc::new(registration), methods, quarantined: wrong })
}

/// The name by which the engine knows a method.
pub(super) fn full_name(service: &str, method: &str) -> String {
    match method.contains('.') || service.is_empty() {
        true => method.to_owned(),
        false => format!("{service}.{method}"),
    }
}

/// Whether the params are as the worker wants them.
pub(crate) fn check_params(offer: &Offer, body: &Body<'_>) -> Result<(), Error> {
    let Some(schema) = &offer.params else { return Ok(()) };
    let mistakes = schema.check_params(&offer.info, body.encoding(), body.bytes())?;
    let Some(first) = mistakes.first() else { return Ok(()) };
    let message = format!("{} does not take these arguments: {first}", offer.info.name);
    Err(Error::invalid(message).with_fields(mistakes))
}

/// Whether a result, or an item of a stream, is as the worker said it would be.
pub(crate) fn check_result(
    offer: &Offer,
    value: &Encoded,
    worker: Option<&str>,
) -> Result<(), Error> {
    let Some(schema) = &offer.result else { return Ok(()) };
    if value.encoding == Encoding::Raw {
        return Ok(());
    }
    let mistakes = schema.check(value.encoding, &value.bytes)?;
    let Some(first) = mistakes.first() else { return Ok(()) };
    let message = format!("the result of {} is not what it promised: {first}", offer.info.name);
    let error = Error::new(ErrorCode::InvalidResult, message).with_fields(mistakes);
    Err(match worker {
        Some(worker) => error.with_worker(worker),
        None => error,
    })
}
