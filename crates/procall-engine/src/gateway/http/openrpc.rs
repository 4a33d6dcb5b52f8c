//! `rpc.discover`: what there is, as an OpenRPC document.

use procall::{MethodInfo, Shape};
use serde_json::{Map, Value, json};

use super::openapi::error_schema;
use super::schemas::Schemas;
use super::visitor::Visitor;

/// The document of this moment. Methods with streams are not in it: JSON-RPC has none.
pub(super) fn document(visitor: &Visitor) -> Value {
    write(&visitor.core.with(|state| state.registration(None)).methods)
}

fn write(methods: &[MethodInfo]) -> Value {
    let mut schemas = Schemas::default();
    schemas.all.insert("Error".to_owned(), error_schema());
    let methods: Vec<Value> = methods
        .iter()
        .filter(|method| method.shape == Shape::Unary)
        .map(|method| described(method, &mut schemas))
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {"title": "Procall engine", "version": env!("CARGO_PKG_VERSION")},
        "methods": methods,
        "components": {"schemas": schemas.all},
    })
}

fn described(method: &MethodInfo, schemas: &mut Schemas) -> Value {
    let name = &method.name;
    let result = match &method.result_schema {
        Some(schema) => schemas.add(name, "result", schema.clone()),
        None => json!({}),
    };
    let mut out = json!({
        "name": name,
        "params": params(method, schemas),
        "result": {"name": "result", "schema": result},
    });
    if !method.description.is_empty() {
        out["description"] = json!(method.description);
    }
    out
}

/// One entry for each parameter, in their order where it is known.
fn params(method: &MethodInfo, schemas: &mut Schemas) -> Vec<Value> {
    let Some(schema) = &method.params_schema else {
        let any = |name: &String| json!({"name": name, "schema": {}});
        return method.params.iter().map(any).collect();
    };
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let ordered: Vec<&String> = match method.params.as_slice() {
        [] => properties.keys().collect(),
        names => names.iter().collect(),
    };
    if properties.is_empty() {
        return Vec::new();
    }
    let place = schemas.add(&method.name, "params", schema.clone());
    let place = place["$ref"].as_str().unwrap_or_default();
    let pointer = |name: &str| name.replace('~', "~0").replace('/', "~1");
    ordered
        .into_iter()
        .map(|name| {
            let schema = match properties.contains_key(name) {
                true => json!({"$ref": format!("{place}/properties/{}", pointer(name))}),
                false => json!({}),
            };
            json!({"name": name, "required": required.contains(&name.as_str()), "schema": schema})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_their_order() {
        let method = MethodInfo {
            name: "math.sub".to_owned(),
            params: vec!["b".to_owned(), "a".to_owned()],
            params_schema: Some(
                json!({"properties": {"a": {"type": "number"}, "b": {}}, "required": ["b"]}),
            ),
            ..MethodInfo::default()
        };
        let stream = MethodInfo { shape: Shape::ItemsOut, ..method.clone() };
        let document = write(&[method, stream]);
        assert_eq!(document["methods"].as_array().map(Vec::len), Some(1));
        let params = &document["methods"][0]["params"];
        assert_eq!((&params[0]["name"], &params[0]["required"]), (&json!("b"), &json!(true)));
        let place = params[1]["schema"]["$ref"].as_str().unwrap();
        assert_eq!(document.pointer(&place[1..]), Some(&json!({"type": "number"})));
    }
}
