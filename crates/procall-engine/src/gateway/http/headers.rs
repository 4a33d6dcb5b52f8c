//! What a request's headers say of its calls.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use procall::wire::Writer;
use procall::{CallOptions, Deadline};

use super::failure::Failure;

/// How the calls of a request are to be made.
pub(super) fn options(headers: &HeaderMap) -> Result<CallOptions, Failure> {
    Ok(CallOptions {
        deadline: deadline(headers)?,
        idempotent: flag(headers, "procall-idempotent")?,
        meta: meta(headers)?,
        key: text(headers, "procall-key")?.map(Arc::from),
        to: text(headers, "procall-to")?.map(Arc::from),
        idempotency_key: text(headers, "idempotency-key")?.map(Arc::from),
        ..CallOptions::default()
    })
}

fn deadline(headers: &HeaderMap) -> Result<Deadline, Failure> {
    match text(headers, "procall-timeout-ms")? {
        None => Ok(Deadline::Default),
        Some("none") => Ok(Deadline::Never),
        Some(text) => match text.parse() {
            Ok(ms) if ms > 0 => Ok(Deadline::After(Duration::from_millis(ms))),
            _ => Err(wrong("procall-timeout-ms", "a number of milliseconds from 1, or \"none\"")),
        },
    }
}

fn flag(headers: &HeaderMap, name: &str) -> Result<bool, Failure> {
    match text(headers, name)? {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(wrong(name, "\"true\" or \"false\"")),
    }
}

/// What travels with a call as metadata.
fn meta(headers: &HeaderMap) -> Result<Vec<u8>, Failure> {
    let mut texts = Vec::new();
    for (header, name) in [
        ("traceparent", "traceparent"),
        ("tracestate", "tracestate"),
        ("procall-version", "version"),
    ] {
        texts.extend(text(headers, header)?.map(|value| (name, value)));
    }
    let wait = flag(headers, "procall-wait")?;
    let mut bytes = Vec::new();
    if !texts.is_empty() || wait {
        let mut writer = Writer::new(&mut bytes);
        writer.map(texts.len() + usize::from(wait));
        for (name, value) in texts {
            writer.text(name).text(value);
        }
        if wait {
            writer.text("wait").boolean(true);
        }
    }
    Ok(bytes)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Err(_) => Err(wrong(name, "UTF-8 text")),
    }
}

fn wrong(name: &str, wanted: &str) -> Failure {
    Failure::request(StatusCode::BAD_REQUEST, format!("the header {name} must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use procall::json;

    use super::*;

    fn of(head: &[(&'static str, &'static str)]) -> Result<CallOptions, Failure> {
        options(
            &head
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn headers_become_options_and_metadata() {
        let read = of(&[
            ("procall-timeout-ms", "250"),
            ("procall-idempotent", "true"),
            ("procall-key", "user 7"),
            ("procall-to", "calc/2"),
            ("procall-version", "2"),
            ("procall-wait", "1"),
            ("idempotency-key", "order 7"),
            ("traceparent", "00-ab-cd-01"),
        ])
        .unwrap();
        assert_eq!(read.deadline, Deadline::After(Duration::from_millis(250)));
        assert!(read.idempotent);
        assert_eq!(read.idempotency_key.as_deref(), Some("order 7"));
        assert_eq!((read.key.as_deref(), read.to.as_deref()), (Some("user 7"), Some("calc/2")));
        let meta = String::from_utf8(json::to_json(&read.meta).unwrap()).unwrap();
        assert_eq!(meta, r#"{"traceparent":"00-ab-cd-01","version":"2","wait":true}"#);
    }

    #[test]
    fn without_headers_all_is_as_usual() {
        let read = of(&[]).unwrap();
        assert_eq!((read.deadline, read.idempotent), (Deadline::Default, false));
        assert!(read.meta.is_empty());
        assert_eq!(of(&[("procall-timeout-ms", "none")]).unwrap().deadline, Deadline::Never);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, value) in [
            ("procall-timeout-ms", "0"),
            ("procall-timeout-ms", "-1"),
            ("procall-timeout-ms", "soon"),
            ("procall-idempotent", "maybe"),
            ("procall-wait", "yes"),
        ] {
            assert!(of(&[(name, value)]).is_err(), "{name}: {value}");
        }
    }
}
