//! Links over TLS whose handshake is over.

#[path = "authority.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod authority;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use procall_transport::tls::{ClientTls, ServerTls, TlsLink, TlsListener};
use procall_transport::{Link, LinkOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use self::authority::Authority;
use crate::harness::{Raw, RawPair};

/// Made once, because keys take their time.
static SIDES: LazyLock<(String, ClientTls, ServerTls)> = LazyLock::new(|| {
    let authority = Authority::new("tests");
    let server = authority.sign(&["localhost", "127.0.0.1"]).server();
    (authority.pem.clone(), authority.client(None), server)
});

fn listener() -> TlsListener {
    TlsListener::bind((Ipv4Addr::LOCALHOST, 0).into(), &SIDES.2).unwrap()
}

/// Two links that have shaken hands and have nothing more to say.
pub(crate) fn pair(options: &LinkOptions) -> (TlsLink, TlsLink) {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    let mut left = TlsLink::connect("127.0.0.1", port, &SIDES.1, options).unwrap();
    let mut right = listener.accept(options).unwrap().expect("the client has connected");
    while left.is_handshaking() || right.is_handshaking() {
        assert_eq!(right.receive().unwrap(), None);
        assert_eq!(left.receive().unwrap(), None);
    }
    (left, right)
}

impl Raw for StreamOwned<ClientConnection, TcpStream> {}

/// A link and a peer that speaks TLS by a stream of the library's own.
pub(crate) fn raw(options: &LinkOptions) -> RawPair {
    let listener = listener();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut link = listener.accept(options).unwrap().expect("the peer has connected");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(SIDES.0.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut peer = StreamOwned::new(tls, socket);
    peer.sock.set_nonblocking(true).unwrap();
    while peer.conn.is_handshaking() || peer.conn.wants_write() || link.is_handshaking() {
        match peer.conn.complete_io(&mut peer.sock) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => drop(done.unwrap()),
        }
        assert_eq!(link.receive().unwrap(), None);
    }
    peer.sock.set_nonblocking(false).unwrap();
    peer.sock.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (Box::new(link), Box::new(peer))
}
