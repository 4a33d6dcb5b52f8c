//! Addresses as people write them.

use procall_transport::{Address, AddressError, LinkOptions, connect};

#[test]
fn addresses_read_back_as_written() {
    for text in [
        "unix:/run/calc.sock",
        "unix:relative.sock",
        "unix:/a:b c",
        "tcp:127.0.0.1:8080",
        "tcp:[::1]:1",
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }
}

#[test]
fn errors_say_what_is_expected() {
    let cases = [
        ("", "unix:/run/calc.sock"),
        ("127.0.0.1:8080", "tcp:127.0.0.1:8080"),
        ("http://localhost", "`http://localhost` is not an address"),
        ("unix:", "expected a path after `unix:`"),
        ("unix:/a\0b", "expected a path after `unix:`"),
        ("tcp:", "expected an IP address and a port"),
        ("tcp:localhost:8080", "names are not looked up"),
        ("tcp:127.0.0.1", "expected an IP address and a port"),
        ("tcp:127.0.0.1:65536", "expected an IP address and a port"),
        ("TCP:127.0.0.1:1", "is not an address"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    assert!(matches!("tcp:x".parse::<Address>(), Err(AddressError::Socket { .. })));
}

#[test]
fn connecting_to_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Address::Unix(folder.path().join("nothing"));
    let error = connect(&nothing, &LinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
