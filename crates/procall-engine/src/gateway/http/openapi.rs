//! `GET /openapi.json`: what there is, as an OpenAPI 3.1 document.

use procall::{DeclaredError, ErrorCode, MethodInfo};
use serde_json::{Map, Value, json};

use super::schemas::{Schemas, reference};
use super::visitor::Visitor;

/// The document of this moment.
pub(super) fn document(visitor: &Visitor) -> Value {
    let known = visitor.core.with(|state| state.registration(None));
    write(&known.methods, visitor.settings.token.is_some())
}

fn write(methods: &[MethodInfo], token: bool) -> Value {
    let mut schemas = Schemas::default();
    schemas.all.insert("Error".to_owned(), error_schema());
    let mut paths = Map::new();
    for method in methods {
        let post = operation(method, &mut schemas);
        paths.insert(path_of(&method.name), json!({ "post": post }));
    }
    let mut components = json!({
        "schemas": schemas.all,
        "parameters": parameters(),
        "responses": {
            "Error": {
                "description": "The call failed; `code` says how, `executed` whether the method ran.",
                "content": {"application/json": {"schema": reference("#/components/schemas/Error")}},
            },
        },
    });
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Procall engine",
            "description": "The methods that are registered with this engine now.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
    });
    if token {
        components["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
        document["security"] = json!([{"token": []}]);
    }
    document["components"] = components;
    document
}

/// The path by which a method is called.
fn path_of(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((service, method)) if !service.is_empty() && !method.is_empty() => {
            format!("/v1/call/{}/{}", segment(service), segment(method))
        }
        _ => format!("/v1/call/{}", segment(name)),
    }
}

/// One segment of a path: all but the characters that need no escape anywhere is escaped.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn operation(method: &MethodInfo, schemas: &mut Schemas) -> Value {
    let name = &method.name;
    let service = name.rsplit_once('.').map_or("", |(service, _)| service);
    let summary = method.description.lines().next().unwrap_or_default();
    let headers = ["timeout", "idempotent", "idempotencyKey", "to", "key", "traceparent"]
        .map(|name| reference(&format!("#/components/parameters/{name}")));
    let mut operation = json!({
        "operationId": name,
        "summary": if summary.is_empty() { name } else { summary },
        "parameters": headers,
        "requestBody": request_body(method, schemas),
        "responses": {"200": success(method, schemas), "default": reference("#/components/responses/Error")},
        "x-procall-idempotent": method.idempotent,
    });
    if !service.is_empty() {
        operation["tags"] = json!([service]);
    }
    if !method.description.is_empty() {
        operation["description"] = json!(method.description);
    }
    if !method.errors.is_empty() {
        let declared =
            method.errors.iter().enumerate().map(|(at, error)| declared(name, at, error, schemas));
        operation["x-procall-errors"] = declared.collect();
    }
    operation
}

fn declared(method: &str, at: usize, error: &DeclaredError, schemas: &mut Schemas) -> Value {
    let mut out = json!({"type": error.name, "description": error.description});
    if let Some(schema) = &error.schema {
        out["details"] = schemas.add(method, &format!("error{at}"), schema.clone());
    }
    out
}

fn request_body(method: &MethodInfo, schemas: &mut Schemas) -> Value {
    let wants = |schema: &Value| {
        schema.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty())
    };
    let required = method.params_schema.as_ref().is_some_and(wants);
    let by_name = match &method.params_schema {
        Some(schema) => schemas.add(&method.name, "params", schema.clone()),
        None => json!({"type": ["object", "array"]}),
    };
    if method.shape.items_in() {
        return json!({
            "description": "The params in the first line, an item of the stream in each of the others.",
            "required": required,
            "content": {"application/x-ndjson": {"schema": by_name}},
        });
    }
    json!({
        "description": "The arguments by name, or an array of them by position.",
        "required": required,
        "content": {"application/json": {"schema": by_name}},
    })
}

fn success(method: &MethodInfo, schemas: &mut Schemas) -> Value {
    let schema = match &method.result_schema {
        Some(schema) => schemas.add(&method.name, "result", schema.clone()),
        None => json!({}),
    };
    if method.shape.items_out() {
        return json!({
            "description": "A stream. The schema is that of each line and each event's data; an error comes last, as `{\"error\": …}` or `event: error`.",
            "content": {
                "application/x-ndjson": {"schema": schema},
                "text/event-stream": {"schema": schema},
            },
        });
    }
    json!({"description": "The result.", "content": {"application/json": {"schema": schema}}})
}

fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    json!({
        "timeout": header(
            "Procall-Timeout-Ms",
            "Milliseconds until the call is given up; 30000 without it, `none` for never.",
            json!({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "none"}]}),
        ),
        "idempotent": header(
            "Procall-Idempotent",
            "The method may run more than once without harm.",
            json!({"type": "boolean"}),
        ),
        "idempotencyKey": header(
            "Idempotency-Key",
            "A call with a key that was used for the same method in the last 5 minutes gets that call's outcome; not for streams.",
            json!({"type": "string", "minLength": 1, "maxLength": 255}),
        ),
        "to": header("Procall-To", "The one worker that is to get the call.", json!({"type": "string"})),
        "key": header("Procall-Key", "Calls with the same key go to the same worker.", json!({"type": "string"})),
        "traceparent": header("traceparent", "W3C trace context; passed on as metadata.", json!({"type": "string"})),
    })
}

/// An error, as all routes and JSON-RPC's `data` have it.
pub(super) fn error_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    json!({
        "type": "object",
        "required": ["code", "message", "executed"],
        "properties": {
            "code": {"type": "string", "examples": codes},
            "message": {"type": "string"},
            "executed": {"enum": ["no", "maybe", "yes"], "description": "Whether the method ran; `no` is a guarantee."},
            "type": {"type": "string", "description": "The class of the method's own error."},
            "trace": {"type": "string"},
            "worker": {"type": "string"},
            "retry_after_ms": {"type": "integer", "minimum": 0},
            "fields": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                },
            },
            "candidates": {"type": "array", "items": {"type": "string"}},
            "details": {},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_service_and_method() {
        assert_eq!(path_of("math.add"), "/v1/call/math/add");
        assert_eq!(path_of("a.b.c"), "/v1/call/a.b/c");
        assert_eq!(path_of("add"), "/v1/call/add");
        assert_eq!(path_of("odd/näme.f{x}"), "/v1/call/odd%2Fn%C3%A4me/f%7Bx%7D");
    }

    #[test]
    fn a_method_without_schemas_takes_anything() {
        let method = MethodInfo { name: "f.g".to_owned(), ..MethodInfo::default() };
        let document = write(&[method], true);
        let post = &document["paths"]["/v1/call/f/g"]["post"];
        assert_eq!(post["operationId"], "f.g");
        assert_eq!(post["requestBody"]["required"], false);
        assert_eq!(document["security"], json!([{"token": []}]));
    }
}
