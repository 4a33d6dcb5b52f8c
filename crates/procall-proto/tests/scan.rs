//! Bombs and lies are refused; everything else passes.

use procall_proto::scan::{self, Bounds, ScanError};
use proptest::prelude::*;

fn scan(bytes: &[u8]) -> Result<(), ScanError> {
    scan::msgpack(bytes, &Bounds::default())
}

fn scan_json(text: &str) -> Result<(), ScanError> {
    scan::json(text.as_bytes(), &Bounds::default())
}

/// Runs on a stack that recursion over the input would exhaust.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn every_marker_is_known() {
    for value in [
        &[0x00][..],
        &[0x7f],
        &[0xe0],
        &[0xff],
        &[0xc0],
        &[0xc2],
        &[0xc3],
        &[0xc4, 1, 0],
        &[0xc5, 0, 1, 0],
        &[0xc6, 0, 0, 0, 1, 0],
        &[0xc7, 1, 0x50, 0],
        &[0xc8, 0, 1, 0x50, 0],
        &[0xc9, 0, 0, 0, 1, 0x50, 0],
        &[0xca, 0, 0, 0, 0],
        &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xcc, 0],
        &[0xcd, 0, 0],
        &[0xce, 0, 0, 0, 0],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xd0, 0],
        &[0xd1, 0, 0],
        &[0xd2, 0, 0, 0, 0],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xd4, 0x50, 0],
        &[0xd5, 0x50, 0, 0],
        &[0xd6, 0x50, 0, 0, 0, 0],
        &[0xd7, 0x50, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xd8, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xa1, b'a'],
        &[0xd9, 1, b'a'],
        &[0xda, 0, 1, b'a'],
        &[0xdb, 0, 0, 0, 1, b'a'],
        &[0x91, 0],
        &[0xdc, 0, 1, 0],
        &[0xdd, 0, 0, 0, 1, 0],
        &[0x81, 0xa0, 0],
        &[0xde, 0, 1, 0xa0, 0],
        &[0xdf, 0, 0, 0, 1, 0xa0, 0],
    ] {
        assert_eq!(scan(value), Ok(()), "{value:02x?}");
        for end in 0..value.len() {
            assert!(
                matches!(scan(&value[..end]), Err(ScanError::Truncated { .. })),
                "{value:02x?}"
            );
        }
        let mut longer = value.to_vec();
        longer.push(0);
        assert_eq!(scan(&longer), Err(ScanError::Trailing { at: value.len() }));
    }
    assert_eq!(scan(&[0xc1]), Err(ScanError::Malformed { at: 0 }));
}

#[test]
fn lengths_are_not_believed() {
    for claim in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 0x50],
        &[0xdc, 0xff, 0xff],
        &[0xde, 0xff, 0xff],
    ] {
        assert!(scan(claim).is_err(), "{claim:02x?}");
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| {
        let mut bytes = vec![0x91; depth - 1];
        bytes.push(0x90);
        bytes
    };
    assert_eq!(scan(&nested(64)), Ok(()));
    assert_eq!(scan(&nested(65)), Err(ScanError::Deep { at: 64, max: 64 }));
    let unbounded = Bounds { max_depth: usize::MAX, ..Bounds::default() };
    assert_eq!(scan::msgpack(&nested(128), &unbounded), Ok(()));
    assert_eq!(scan::msgpack(&nested(129), &unbounded), Err(ScanError::Deep { at: 128, max: 128 }));
    on_small_stack(move || {
        assert!(scan(&nested(1_000_000)).is_err());
        assert!(scan::json("[".repeat(1_000_000).as_bytes(), &Bounds::default()).is_err());
        let unbounded = Bounds { max_depth: usize::MAX, max_elements: usize::MAX, max_key: 0 };
        let text = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(scan::json(text.as_bytes(), &unbounded), Ok(()));
    });
}

#[test]
fn every_element_is_charged() {
    let bounds = Bounds { max_elements: 6, ..Bounds::default() };
    // Three empty arrays in an array, and one entry: 3 + 1 + 2.
    let body = [0x94, 0x90, 0x90, 0x90, 0x81, 0xa0, 0xc0];
    assert_eq!(scan::msgpack(&body, &bounds), Ok(()));
    let text = br#"[[], [], [], {"": null}]"#;
    assert_eq!(scan::json(text, &bounds), Ok(()));
    let bounds = Bounds { max_elements: 5, ..Bounds::default() };
    assert_eq!(scan::msgpack(&body, &bounds), Err(ScanError::Elements { at: 4, max: 5 }));
    assert_eq!(scan::json(text, &bounds), Err(ScanError::Elements { at: 18, max: 5 }));
}

#[test]
fn keys_are_short_text() {
    assert_eq!(scan(&[0x81, 1, 1]), Err(ScanError::KeyType { at: 1 }));
    assert_eq!(scan(&[0x81, 0xc4, 0, 1]), Err(ScanError::KeyType { at: 1 }));
    assert_eq!(scan(&[0x81, 0x90, 1]), Err(ScanError::KeyType { at: 1 }));
    assert_eq!(scan(&[0x81, 0xa1, 0xff, 1]), Err(ScanError::Utf8 { at: 1 }));
    let bounds = Bounds { max_key: 2, ..Bounds::default() };
    assert_eq!(scan::msgpack(&[0x81, 0xa2, b'a', b'b', 0xa3, b'a', b'b', b'c'], &bounds), Ok(()));
    assert_eq!(
        scan::msgpack(&[0x81, 0xa3, b'a', b'b', b'c', 1], &bounds),
        Err(ScanError::Key { at: 1, max: 2 })
    );
    assert_eq!(scan::json(br#"{"ab": "abc"}"#, &bounds), Ok(()));
    assert_eq!(scan::json(br#"{"abc" : 1}"#, &bounds), Err(ScanError::Key { at: 1, max: 2 }));
}

#[test]
fn json_strings_hide_brackets() {
    assert_eq!(scan_json(r#"{"\"]}\\": "[[[[\\\"[["}"#), Ok(()));
    assert_eq!(scan_json(r#""open"#), Err(ScanError::Truncated { at: 0 }));
    assert_eq!(scan_json(r#""open\"#), Err(ScanError::Truncated { at: 0 }));
    assert_eq!(scan_json("[1"), Err(ScanError::Truncated { at: 2 }));
    assert_eq!(scan_json("1]"), Err(ScanError::Malformed { at: 1 }));
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = scan(&bytes);
        let _ = scan::json(&bytes, &Bounds::default());
    }

    /// Whatever JSON transcodes to MessagePack passes.
    #[test]
    fn what_we_write_passes(numbers in proptest::collection::vec(any::<i64>(), 0..40), text in ".{0,40}") {
        let value = serde_json::json!({ "n": numbers, "t": text, "m": { "": [null, true] } });
        let text = value.to_string();
        prop_assert_eq!(scan_json(&text), Ok(()));
        let body = procall_proto::json::from_json(text.as_bytes()).unwrap();
        prop_assert_eq!(scan(&body), Ok(()));
    }
}
