//! `spec/vectors/params.json`: how params bind, in every language alike.

use procall::{Encoding, ErrorCode, Params, Service, Signature, Validator};
use serde_json::{Value, json};

use crate::support::client;

#[test]
fn params_bind_as_the_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/params.json");
    let vectors: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut checked = 0;
    for vector in &vectors {
        // Bare values in the dialects are wrapped where the dialects are read.
        if vector["dialect"] == true {
            continue;
        }
        check(vector);
        checked += 1;
    }
    assert!(checked > 20, "{checked} vectors were found");
}

fn check(vector: &Value) {
    let name = vector["name"].as_str().unwrap();
    let rows = vector["signature"].as_array().unwrap();
    let names: Vec<String> =
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    let required: Vec<bool> = rows.iter().map(|row| row.get("default").is_none()).collect();
    let takes_whole = rows.len() == 1 && rows[0]["struct"] == true;
    let signature = Signature { names: &names, required: &required, takes_whole };

    let given = vector.get("given").map(ToString::to_string);
    let (encoding, bytes) = match &given {
        Some(text) => (Encoding::Json, text.as_bytes()),
        None => (Encoding::None, &[][..]),
    };
    let bound = Params::new(encoding, bytes).and_then(|params| params.bind(signature));
    match (bound, vector.get("bound")) {
        (Ok(bound), Some(expected)) => {
            for (at, row) in rows.iter().enumerate() {
                let value = match bound.value(at) {
                    Some(bytes) => {
                        let text = procall::json::to_json(bytes).unwrap();
                        serde_json::from_slice(&text).unwrap()
                    }
                    None => row["default"].clone(),
                };
                assert_eq!(value, expected[at], "{name}: argument {at}");
            }
        }
        (Err(error), None) => {
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{name}");
            let paths: Vec<&str> = error.fields().iter().map(|field| &*field.path).collect();
            let expected: Vec<&str> = vector["paths"]
                .as_array()
                .unwrap()
                .iter()
                .map(|path| path.as_str().unwrap())
                .collect();
            assert_eq!(paths, expected, "{name}");
        }
        (Ok(_), None) => panic!("{name}: it is bound, but should be refused"),
        (Err(error), Some(_)) => panic!("{name}: it is refused: {error}"),
    }
}

mod one {
    #[derive(Debug, serde::Serialize, serde::Deserialize, procall::schemars::JsonSchema)]
    #[schemars(crate = "procall::schemars")]
    pub(super) struct Tree {
        pub(super) leaf: u32,
        pub(super) branches: Vec<Self>,
    }
}

mod other {
    #[derive(Debug, serde::Serialize, serde::Deserialize, procall::schemars::JsonSchema)]
    #[schemars(crate = "procall::schemars")]
    pub(super) struct Tree {
        pub(super) leaf: String,
        pub(super) branches: Vec<Self>,
    }
}

/// The schema that a service with one method registers for its params.
async fn registered(service: Service) -> Value {
    let methods = client(service).await.methods().await.unwrap();
    methods.methods[0].params_schema.clone().unwrap()
}

#[tokio::test]
async fn a_type_within_itself_has_a_schema_that_can_be_used() {
    let service = Service::new("wood").method("cut", |tree: one::Tree, again: one::Tree| {
        tree.leaf + again.leaf + u32::try_from(tree.branches.len()).unwrap()
    });
    let service = service.params("cut", &["tree", "again"]);
    let schema = registered(service).await;
    assert_eq!(schema["$defs"].as_object().unwrap().len(), 1, "one type: {schema}");
    let validator = Validator::new(&schema).unwrap();
    let tree = json!({"leaf": 1, "branches": [{"leaf": 2, "branches": []}]});
    assert_eq!(validator.check_value(&json!({"tree": tree, "again": tree})), []);
    let wrong = json!({"leaf": 1, "branches": [{"leaf": "x", "branches": []}]});
    let mistakes = validator.check_value(&json!({"tree": tree, "again": wrong}));
    assert_eq!(mistakes[0].path, "/again/branches/0/leaf", "{mistakes:?}");
}

#[tokio::test]
async fn two_types_of_one_name_do_not_mix() {
    let service = Service::new("wood")
        .method("cut", |one: one::Tree, other: other::Tree| format!("{}{}", one.leaf, other.leaf))
        .params("cut", &["one", "other"]);
    let schema = registered(service).await;
    let validator = Validator::new(&schema).unwrap();
    let tree = |leaf: Value| json!({"leaf": leaf, "branches": [{"leaf": leaf, "branches": []}]});
    let params = json!({"one": tree(json!(1)), "other": tree(json!("x"))});
    assert_eq!(validator.check_value(&params), [], "{schema}");
    let params = json!({"one": tree(json!(1)), "other": tree(json!(1))});
    assert_eq!(validator.check_value(&params).len(), 2, "{schema}");
}
