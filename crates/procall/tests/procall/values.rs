//! Values arrive unchanged or not at all.

use std::collections::{BTreeMap, HashMap};

use procall::buffer::Dtype;
use procall::{
    BlockingClient, Bytes, Encoding, ErrorCode, Executed, Request, Service, TypedBuffer, Value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Host, Transport, blocking};

fn client() -> (BlockingClient, Host) {
    let service = Service::new("values")
        .method("echo", |value: Value| value)
        .method("json", |value: serde_json::Value| value)
        .method("named", |first: i64, second: Option<i64>| (first, second))
        .params("named", &["first", "second"])
        .method("mean", |image: TypedBuffer| {
            image.elements::<f32>().map(|all| all.iter().sum::<f32>())
        })
        .method("numbers_as_keys", || HashMap::from([(1, "one")]));
    blocking(Transport::Mem, service)
}

#[test]
fn a_value_of_any_type_comes_back_as_it_went() {
    let (client, _host) = client();
    let deep: Value =
        [("deep", Value::from(vec![Value::Nil, Value::from(true)]))].into_iter().collect();
    for value in [
        Value::Nil,
        Value::from(-1),
        Value::from(i64::MIN),
        Value::from(u64::MAX),
        Value::from(1.0),
        Value::from(-0.0),
        Value::from(f64::INFINITY),
        Value::from("text \0 🦀"),
        Value::from(Bytes(vec![0, 255])),
        deep,
        Value::from(TypedBuffer::from_elements(&[2, 1], &[1_i8, -1]).unwrap()),
        Value::from(vec![TypedBuffer::new(Dtype::BF16, &[], vec![1, 2]).unwrap()]),
    ] {
        let back: Value = client.call("echo", (&value,)).wait().unwrap();
        assert_eq!(back, value);
    }
    let nan: Value = client.call("echo", (f64::NAN,)).wait().unwrap();
    assert!(nan.as_f64().unwrap().is_nan());
}

#[test]
fn not_a_number_is_never_null() {
    let (client, _host) = client();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = client.call::<Value>("json", (vec![value],)).wait().unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
        assert!(error.message().contains("take f64 or procall::Value"), "{error}");
        let map = BTreeMap::from([("deep", [Some(value)])]);
        let error = client.call::<serde_json::Value>("echo", (map,)).wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidResult, "{error}");
        let back: f64 = client.call("echo", (value,)).wait().unwrap();
        assert_eq!(back.to_bits(), value.to_bits());
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let (client, _host) = client();
    let twice = b"\x91\x82\xa1a\x01\xa1a\x02";
    for method in ["echo", "json"] {
        let request = Request::new(method, Encoding::Msgpack, twice);
        let error = client.connection().start(request).unwrap().wait().unwrap_err();
        assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
        assert!(error.message().contains("stands twice"), "{error}");
    }
    let request = Request::new("named", Encoding::Msgpack, b"\x82\xa5first\x01\xa5first\x02");
    let error = client.connection().start(request).unwrap().wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
    assert_eq!(error.fields()[0].path, "/first");

    let value = Value::Map(vec![("a".to_owned(), 1.into()), ("a".to_owned(), 2.into())]);
    let error = client.call::<Value>("echo", (value,)).wait().unwrap_err();
    assert!(error.message().contains("stands twice"), "{error}");
}

#[test]
fn what_the_wire_has_not_is_told_where_it_is_made() {
    let (client, _host) = client();
    for (error, says) in [
        (client.call::<Value>("echo", (1_u128 << 64,)).wait().unwrap_err(), "18446744073709551616"),
        (
            client.call::<Value>("echo", (Value::Int(-(1 << 63) - 1),)).wait().unwrap_err(),
            "outside -2^63",
        ),
        (client.call::<Value>("echo", (HashMap::from([(1, 2)]),)).wait().unwrap_err(), "not text"),
    ] {
        assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidArgument, Executed::No));
        assert!(error.message().contains(says), "{error}");
    }
    assert_eq!(client.call::<i128>("echo", (5_u128,)).wait().unwrap(), 5);
    assert_eq!(client.call::<Value>("echo", (-5_i128,)).wait().unwrap(), Value::from(-5));

    let error = client.call::<Value>("numbers_as_keys", ()).wait().unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::InvalidResult, Executed::Yes));
}

#[test]
fn arrays_of_numbers_are_arguments() {
    let (client, _host) = client();
    let image = TypedBuffer::from_elements(&[2, 2], &[1.0_f32, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(client.call::<Option<f32>>("mean", (&image,)).wait().unwrap(), Some(10.0));
    let error = client.call::<f32>("mean", ([1.0, 2.0],)).wait().unwrap_err();
    assert!(error.message().contains("expected an array of numbers (a typed buffer)"), "{error}");
    assert!(TypedBuffer::from_elements(&[3], &[1.0_f64]).is_err());
    assert!(TypedBuffer::new(Dtype::U8, &[1; 33], vec![0]).is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mixed {
    name: String,
    rest: Value,
    image: Option<TypedBuffer>,
}

#[test]
fn values_and_buffers_are_fields_of_types() {
    let mixed = Mixed {
        name: "a".to_owned(),
        rest: Value::from(vec![1.5]),
        image: TypedBuffer::from_elements(&[], &[7_u16]).ok(),
    };
    let value = Value::of(&mixed).unwrap();
    assert_eq!(value.get("rest"), Some(&Value::from(vec![1.5])));
    assert_eq!(
        value.get("image").and_then(Value::as_buffer).unwrap().elements(),
        Some(vec![7_u16])
    );
    assert_eq!(value.to::<Mixed>().unwrap(), mixed);
}
