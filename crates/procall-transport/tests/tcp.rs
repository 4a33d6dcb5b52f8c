//! What is particular to TCP.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use procall_transport::tcp::{TcpLink, TcpListener};
use procall_transport::{Link, LinkOptions};

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

#[test]
fn each_end_names_the_other() {
    let options = LinkOptions::default();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let client = TcpLink::connect(address, &options).unwrap();
    let server = listener.accept(&options).unwrap().unwrap();
    assert_eq!(client.info().address, format!("tcp:{address}"));
    assert!(server.info().address.starts_with("tcp:127.0.0.1:"));
    assert_eq!(client.info().peer, None);
    assert!(listener.accept(&options).unwrap().is_none());
}

#[test]
fn a_port_that_was_just_used_can_be_used_again() {
    let options = LinkOptions::default();
    let first = listener();
    let address = first.local_addr().unwrap();
    let client = TcpLink::connect(address, &options).unwrap();
    drop(first.accept(&options).unwrap().unwrap());
    drop(first);
    drop(client);
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_listener_refuses_a_port_in_use() {
    let first = listener();
    let error = TcpListener::bind(first.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn connecting_where_nobody_listens_is_refused() {
    // Bound and not listening, so that nobody else can take the port meanwhile.
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    let error = TcpLink::connect(address, &LinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_unconnected_socket_is_no_link() {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let error = TcpLink::from_fd(socket, &LinkOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[test]
fn ipv6_where_the_machine_has_it() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0).into()) else { return };
    let link = TcpLink::connect(listener.local_addr().unwrap(), &LinkOptions::default()).unwrap();
    assert!(link.info().address.starts_with("tcp:[::1]:"));
}
