//! The roadmap dialect: requests and answers without registration, streams or pings. Section 19 of the specification.

use std::time::Duration;

use procall::json::{self, Outline};
use procall::{CallOptions, Deadline, Encoded, Error, ErrorCode};
use serde_json::Value;

use super::json::{Object, params_from_json, result_to_json};

/// A request, or why it is none.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) asker: Asker,
    pub(crate) call: Result<Call, Error>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Encoded,
    pub(crate) options: CallOptions,
}

/// Where and how a request is answered.
#[derive(Debug)]
pub(crate) struct Asker {
    /// JSON, as it came.
    id: String,
    form: Form,
    /// As text, for error messages; JSON when it is none, empty when nothing could be read.
    method: String,
    /// The field of the request that is wrong.
    field: Option<&'static str>,
}

/// Both generations of the dialect expect answers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Old,
    New,
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

impl Request {
    /// Reads what is there; what is missing or wrong becomes the answer.
    pub(crate) fn read(outline: &Outline<'_>) -> Self {
        let old = outline.text("type").as_deref() == Some("request") && !outline.has("meta");
        // An id that is no JSON, such as NaN, could not be read by whoever gets it back.
        let id = outline.raw("id").filter(|id| json::from_json(id.as_bytes()).is_ok());
        let mut asker = Asker {
            id: id.unwrap_or("null").to_owned(),
            form: if old { Form::Old } else { Form::New },
            method: outline.raw("method").unwrap_or("None").to_owned(),
            field: None,
        };
        let call = Self::call(outline, &mut asker);
        Self { asker, call }
    }

    fn call(outline: &Outline<'_>, asker: &mut Asker) -> Result<Call, Error> {
        let Some(method) = outline.text("method").filter(|name| (1..=255).contains(&name.len()))
        else {
            asker.field = Some("method");
            let problem = "the field `method` should be a name of 1 to 255 bytes";
            let code = match asker.form {
                Form::Old => ErrorCode::NotFound,
                Form::New => ErrorCode::InvalidArgument,
            };
            return Err(Error::new(code, problem));
        };
        asker.method.clone_from(&method);
        let options = outline.raw("meta").map_or(Ok(CallOptions::default()), |meta| {
            options(meta).map_err(|(field, problem)| {
                asker.field = Some(field);
                bad(problem)
            })
        })?;
        let params = params_from_json(outline.raw("params").map(str::as_bytes));
        let params = params.inspect_err(|_| asker.field = Some("params"))?;
        Ok(Call { method, params, options })
    }

    /// What is not JSON, or no object.
    pub(crate) fn unreadable(problem: String) -> Self {
        let method = String::new();
        let asker = Asker { id: "null".to_owned(), form: Form::New, method, field: None };
        Self { asker, call: Err(bad(problem)) }
    }

    /// An object of a type that nobody knows.
    pub(crate) fn untyped(outline: &Outline<'_>, problem: String) -> Self {
        let mut request = Self::read(outline);
        request.asker.field = Some("type");
        request.call = Err(bad(problem));
        request
    }
}

/// What `meta` asks for, or which of its fields is wrong, and how.
fn options(meta: &str) -> Result<CallOptions, (&'static str, String)> {
    let meta = match serde_json::from_str(meta) {
        Ok(Value::Object(meta)) => meta,
        Ok(_) => return Err(("meta", "the field `meta` should be an object".to_owned())),
        Err(error) => return Err(("meta", format!("the field `meta` cannot be read: {error}"))),
    };
    let mut options = CallOptions::default();
    match meta.get("timeout_ms") {
        None | Some(Value::Null) => {}
        Some(value) => match value.as_u64() {
            Some(left) => options.deadline = Deadline::After(Duration::from_millis(left)),
            None => {
                let problem =
                    "the field `meta.timeout_ms` should be milliseconds, an unsigned integer";
                return Err(("meta.timeout_ms", problem.to_owned()));
            }
        },
    }
    match meta.get("idempotent") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(idempotent)) => options.idempotent = *idempotent,
        Some(_) => {
            let problem = "the field `meta.idempotent` should be true or false";
            return Err(("meta.idempotent", problem.to_owned()));
        }
    }
    Ok(options)
}

impl Asker {
    /// The answer to the request, in the form of the request.
    pub(crate) fn answer(&self, outcome: Result<&Encoded, &Error>) -> String {
        let result = match outcome {
            Ok(value) => result_to_json(value),
            Err(error) => return self.failure(error),
        };
        match (result, self.form) {
            (Err(error), _) => self.failure(&error),
            (Ok(result), Form::Old) => self.begin().raw("result", &result).finish(),
            (Ok(result), Form::New) => {
                let object = self.begin().bool("ok", true).raw("result", &result);
                object.raw("error", "null").finish()
            }
        }
    }

    fn begin(&self) -> Object {
        Object::message("response").raw("id", &self.id)
    }

    fn failure(&self, error: &Error) -> String {
        if self.form == Form::Old {
            let text = match error.code() {
                ErrorCode::NotFound => format!("Method not found: {}", self.method),
                _ => error.message().to_owned(),
            };
            return self.begin().text("error", &text).finish();
        }
        let body = Object::new()
            .text("code", error.code().roadmap_name())
            .text("message", error.message())
            .raw("details", &self.details(error))
            .finish();
        self.begin().bool("ok", false).raw("result", "null").raw("error", &body).finish()
    }

    fn details(&self, error: &Error) -> String {
        let details = Object::new();
        if let Some(field) = self.field {
            return details.text("field", field).finish();
        }
        if self.method.is_empty() {
            return details.finish();
        }
        if let ErrorCode::NotFound | ErrorCode::HandlerError | ErrorCode::Internal = error.code() {
            return details.text("method", &self.method).finish();
        }
        let mut details =
            details.text("method", &self.method).text("executed", error.executed().as_str());
        if let Some(pause) = error.retry_after() {
            details = details.uint("retry_after_ms", pause.as_millis() as u64);
        }
        if !error.fields().is_empty() {
            let fields = error.fields().iter().map(|field| {
                Object::new().text("path", &field.path).text("message", &field.message).finish()
            });
            details = details.raw("fields", &format!("[{}]", fields.collect::<Vec<_>>().join(",")));
        }
        details.finish()
    }
}

#[cfg(test)]
mod tests {
    use procall::Encoding;

    use super::*;

    fn request(text: &str) -> Request {
        Request::read(&Outline::read(text.as_bytes()).unwrap())
    }

    fn refused(text: &str) -> String {
        let request = request(text);
        request.asker.answer(Err(&request.call.unwrap_err()))
    }

    fn answered(text: &str, result: &[u8]) -> String {
        let value = Encoded::new(Encoding::Msgpack, result.to_vec());
        request(text).asker.answer(Ok(&value))
    }

    #[test]
    fn the_answer_has_the_form_of_the_request() {
        let old = r#"{"type": "request", "id": 1, "method": "add", "params": [1, 2]}"#;
        assert_eq!(answered(old, &[3]), r#"{"type":"response","id":1,"result":3}"#);
        let new =
            r#"{"type": "request", "id": "a", "method": "add", "params": [1, 2], "meta": {}}"#;
        let expected = r#"{"type":"response","id":"a","ok":true,"result":3,"error":null}"#;
        assert_eq!(answered(new, &[3]), expected);
        let bare = r#"{"id": [1, {"x": null}], "method": "add"}"#;
        let expected =
            r#"{"type":"response","id":[1, {"x": null}],"ok":true,"result":3,"error":null}"#;
        assert_eq!(answered(bare, &[3]), expected);
        let null = r#"{"type": "request", "method": "add", "meta": null}"#;
        let expected = r#"{"type":"response","id":null,"ok":true,"result":3,"error":null}"#;
        assert_eq!(answered(null, &[3]), expected);
    }

    #[test]
    fn the_wrong_field_is_named() {
        let new = |field: &str, message: &str| {
            format!(
                "{{\"type\":\"response\",\"id\":1,\"ok\":false,\"result\":null,\"error\":\
                 {{\"code\":\"BAD_REQUEST\",\"message\":\"{message}\",\"details\":{{\"field\":\"{field}\"}}}}}}"
            )
        };
        let expected = new("method", "the field `method` should be a name of 1 to 255 bytes");
        assert_eq!(refused(r#"{"id": 1}"#), expected);
        assert_eq!(refused(r#"{"id": 1, "method": 5, "meta": {}}"#), expected);
        let expected = new("meta", "the field `meta` should be an object");
        assert_eq!(refused(r#"{"id": 1, "method": "add", "meta": []}"#), expected);
        let expected =
            new("meta.idempotent", "the field `meta.idempotent` should be true or false");
        assert_eq!(refused(r#"{"id": 1, "method": "add", "meta": {"idempotent": 1}}"#), expected);
        assert!(
            refused(r#"{"id": 1, "method": "add", "meta": {"timeout_ms": -1}}"#)
                .contains(r#"{"field":"meta.timeout_ms"}"#)
        );
        assert!(
            refused(r#"{"id": 1, "method": "add", "params": [NaN]}"#)
                .contains(r#"{"field":"params"}"#)
        );
        let old = r#"{"type": "request", "id": 1, "params": null}"#;
        let expected = r#"{"type":"response","id":1,"error":"Method not found: None"}"#;
        assert_eq!(refused(old), expected);
    }

    #[test]
    fn codes_have_the_words_of_the_dialect() {
        let code = |code: ErrorCode| {
            let asker = request(r#"{"id": 1, "method": "add"}"#).asker;
            let text = asker.answer(Err(&Error::new(code, "why")));
            serde_json::from_str::<Value>(&text).unwrap()["error"].clone()
        };
        let expected = serde_json::json!(
            {"code": "METHOD_NOT_FOUND", "message": "why", "details": {"method": "add"}}
        );
        assert_eq!(code(ErrorCode::NotFound), expected);
        let expected =
            serde_json::json!({"code": "INTERNAL", "message": "why", "details": {"method": "add"}});
        assert_eq!(code(ErrorCode::HandlerError), expected);
        for (ours, theirs) in [
            (ErrorCode::DeadlineExceeded, "TIMEOUT"),
            (ErrorCode::Unauthenticated, "UNAUTHORIZED"),
            (ErrorCode::PermissionDenied, "UNAUTHORIZED"),
            (ErrorCode::Overloaded, "SERVER_BUSY"),
            (ErrorCode::Unavailable, "SERVER_BUSY"),
            (ErrorCode::NoWorker, "SERVER_BUSY"),
            (ErrorCode::InvalidArgument, "BAD_REQUEST"),
            (ErrorCode::WorkerLost, "WORKER_LOST"),
        ] {
            assert_eq!(code(ours)["code"], theirs);
        }
    }

    #[test]
    fn meta_makes_options() {
        let text = r#"{"id": 1, "method": "add", "params": 5,
            "meta": {"timeout_ms": 80, "idempotent": true, "later": 1}}"#;
        let call = request(text).call.unwrap();
        assert_eq!(call.options.deadline, Deadline::After(Duration::from_millis(80)));
        assert!(call.options.idempotent);
        assert_eq!(call.params.bytes, [0x91, 5]);
    }
}
