//! JSON Schema as people read it.

use procall::{MethodInfo, Shape};
use serde_json::Value;

/// How deep a type is followed before it is called `object` or `any`.
const DEPTH: usize = 4;

/// One parameter of a method.
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) default: Option<&'a Value>,
    pub(crate) description: &'a str,
}

/// The parameters in their order.
pub(crate) fn parameters(method: &MethodInfo) -> Vec<Parameter<'_>> {
    let root = method.params_schema.as_ref();
    let required = |name: &str| match root.and_then(|root| root.get("required")) {
        Some(Value::Array(names)) => names.iter().any(|required| required == name),
        _ => root.is_none(),
    };
    let parameter = |name| {
        let schema = root.and_then(|root| root.get("properties")?.get(name));
        let resolved = schema.map(|schema| resolve(schema, root));
        Parameter {
            name,
            kind: schema.map_or_else(|| "any".to_owned(), kind),
            required: required(name),
            default: schema.and_then(|schema| schema.get("default")),
            description: [schema, resolved]
                .into_iter()
                .flatten()
                .find_map(|schema| schema.get("description")?.as_str())
                .unwrap_or_default(),
        }
    };
    method.params.iter().map(|name| parameter(name.as_str())).collect()
}

/// `a: integer, b: integer = 2`
pub(crate) fn parameter_list(method: &MethodInfo) -> String {
    let shown = parameters(method).into_iter().map(|parameter| {
        let Parameter { name, kind, required, default, .. } = parameter;
        match (required, default) {
            (true, _) => format!("{name}: {kind}"),
            (false, Some(default)) => format!("{name}: {kind} = {default}"),
            (false, None) => format!("{name}?: {kind}"),
        }
    });
    let mut shown: Vec<String> = shown.collect();
    let root = method.params_schema.as_ref();
    // Any number of further ones, as Python writes it.
    let further = |keyword: &str| match root?.get(keyword)? {
        Value::Bool(false) => None,
        schema => Some(kind(schema)),
    };
    shown.extend(further("items").map(|kind| format!("*: {kind}")));
    shown.extend(further("additionalProperties").map(|kind| format!("**: {kind}")));
    if method.shape.items_in() {
        shown.push("items in".to_owned());
    }
    shown.join(", ")
}

/// `integer`, or `stream of integer`.
pub(crate) fn result(method: &MethodInfo) -> String {
    let schema = method.result_schema.as_ref();
    let kind = schema.map_or_else(|| "any".to_owned(), kind);
    if method.shape.items_out() { format!("stream of {kind}") } else { kind }
}

/// `calc.add(a: integer, b: integer) -> integer`
pub(crate) fn signature(method: &MethodInfo) -> String {
    format!("{}({}) -> {}", method.name, parameter_list(method), result(method))
}

/// A command that calls a method: `procall call calc.add a=… b=…`
pub(crate) fn example(method: &MethodInfo) -> String {
    let verb = match method.shape {
        Shape::Unary => "call",
        Shape::ItemsIn | Shape::ItemsOut | Shape::Duplex => "stream",
    };
    let mut words = vec!["procall".to_owned(), verb.to_owned(), method.name.clone()];
    let required = parameters(method).into_iter().filter(|parameter| parameter.required);
    words.extend(required.map(|parameter| format!("{}=…", parameter.name)));
    if method.shape.items_in() {
        words.push("--items -".to_owned());
    }
    words.join(" ")
}

/// How the text of an argument is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As text, whatever it looks like.
    Text,
    Bytes,
    /// As JSON where it is JSON, else as text.
    Json,
}

/// How a parameter's value is to be read.
pub(crate) fn reading(method: &MethodInfo, parameter: &str) -> Reading {
    let root = method.params_schema.as_ref();
    match root.and_then(|root| root.get("properties")?.get(parameter)) {
        None => Reading::Json,
        Some(schema) if takes(schema, root, is_bytes) => Reading::Bytes,
        Some(schema) if takes(schema, root, is_string) => Reading::Text,
        Some(_) => Reading::Json,
    }
}

/// Whether a schema, or all of its alternatives but null, is of a kind.
fn takes(schema: &Value, root: Option<&Value>, is: fn(&Value) -> bool) -> bool {
    let schema = resolve(schema, root);
    if is(schema) {
        return true;
    }
    let Some(any) = alternatives(schema) else { return false };
    let mut others =
        any.iter().map(|one| resolve(one, root)).filter(|one| !is_null(one)).peekable();
    others.peek().is_some() && others.all(is)
}

fn is_bytes(schema: &Value) -> bool {
    schema.get("x-procall").is_some_and(|kind| kind == "bytes")
}

fn is_string(schema: &Value) -> bool {
    match (schema.get("type"), schema.get("enum"), schema.get("const")) {
        (Some(Value::String(kind)), ..) => kind == "string",
        (Some(Value::Array(kinds)), ..) => {
            kinds.iter().any(|kind| kind == "string")
                && kinds.iter().all(|kind| kind == "string" || kind == "null")
        }
        (_, Some(Value::Array(values)), _) => values.iter().all(Value::is_string),
        (.., Some(value)) => value.is_string(),
        _ => false,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()
}

/// Follows a reference inside the document, once.
fn resolve<'a>(schema: &'a Value, root: Option<&'a Value>) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#'));
    target.and_then(|at| root?.pointer(at)).unwrap_or(schema)
}

/// A schema as a type: `integer`, `[string]`, `"a" | "b"`, `integer | null`.
pub(crate) fn kind(schema: &Value) -> String {
    kind_at(schema, DEPTH)
}

fn kind_at(schema: &Value, depth: usize) -> String {
    if let Some(Value::String(own)) = schema.get("x-procall") {
        return own.clone();
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    let union = |kinds: Vec<String>| {
        let mut kinds = kinds;
        kinds.dedup();
        kinds.join(" | ")
    };
    if let Some(any) = alternatives(schema) {
        if depth == 0 {
            return "any".to_owned();
        }
        return union(any.iter().map(|one| kind_at(one, depth - 1)).collect());
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return union(values.iter().map(Value::to_string).collect());
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => match schema.get("items") {
            Some(items) if depth > 0 && items.is_object() => {
                format!("[{}]", kind_at(items, depth - 1))
            }
            _ => "array".to_owned(),
        },
        Some(Value::String(kind)) if kind == "object" => {
            schema.get("title").and_then(Value::as_str).unwrap_or("object").to_owned()
        }
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => {
            union(kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn method() -> MethodInfo {
        MethodInfo {
            name: "calc.pick".into(),
            params: ["a", "name", "blob", "mode", "maybe", "list"].map(str::to_owned).into(),
            params_schema: Some(json!({
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "name": {"type": "string", "default": "x"},
                    "blob": {"type": "string", "contentEncoding": "base64", "x-procall": "bytes"},
                    "mode": {"$ref": "#/$defs/Mode"},
                    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "list": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["a", "blob", "list"],
                "$defs": {"Mode": {"enum": ["fast", "slow"]}},
            })),
            result_schema: Some(json!({"type": ["integer", "null"]})),
            ..MethodInfo::default()
        }
    }

    #[test]
    fn a_signature_reads_like_one() {
        assert_eq!(
            signature(&method()),
            "calc.pick(a: integer, name: string = \"x\", blob: bytes, mode?: Mode, \
             maybe?: string | null, list: [string]) -> integer | null"
        );
        assert_eq!(example(&method()), "procall call calc.pick a=… blob=… list=…");
        let any_number = MethodInfo {
            name: "calc.total".into(),
            params: vec!["unit".into()],
            params_schema: Some(json!({
                "type": ["object", "array"],
                "properties": {"unit": {"type": "string"}},
                "required": ["unit"],
                "prefixItems": [{"type": "string"}],
                "items": {"type": "number"},
                "additionalProperties": true,
            })),
            ..MethodInfo::default()
        };
        assert_eq!(signature(&any_number), "calc.total(unit: string, *: number, **: any) -> any");
    }

    #[test]
    fn the_schema_says_how_a_value_is_read() {
        let method = method();
        let readings = ["a", "name", "blob", "mode", "maybe", "list", "none"]
            .map(|name| reading(&method, name));
        use Reading::{Bytes, Json, Text};
        assert_eq!(readings, [Json, Text, Bytes, Text, Text, Json, Json]);
    }
}
