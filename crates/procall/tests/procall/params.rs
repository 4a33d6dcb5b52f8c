//! `spec/vectors/params.json`: how params bind, in every language alike.

use procall::{Encoding, ErrorCode, Params, Signature};
use serde_json::Value;

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
