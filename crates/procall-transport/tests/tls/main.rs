//! What is particular to TLS: who is who, and what comes that is none.

mod authority;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use procall_transport::tcp::{TcpLink, TcpListener};
use procall_transport::tls::{Authorities, ClientTls, Identity, ServerTls, TlsLink, TlsListener};
use procall_transport::{Link, LinkError, LinkOptions, TlsError, TlsSetupError, readiness};

use self::authority::Authority;

fn listener(tls: &ServerTls) -> (TlsListener, u16) {
    let listener = TlsListener::bind((Ipv4Addr::LOCALHOST, 0).into(), tls).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Lets both sides talk until each has seen the other's message, or the end; what they got.
fn meet(mut left: impl Link, mut right: impl Link) -> [Result<Vec<u8>, LinkError>; 2] {
    for (link, text) in [(&mut left as &mut dyn Link, b"left!"), (&mut right, b"right")] {
        link.buffer(5).unwrap().expect("room").copy_from_slice(text);
        link.commit();
        // Who is wrong learns it by receiving.
        let _ = link.flush();
    }
    std::thread::scope(|scope| {
        let right = scope.spawn(|| outcome(&mut right));
        [outcome(&mut left), right.join().unwrap()]
    })
}

fn outcome(link: &mut dyn Link) -> Result<Vec<u8>, LinkError> {
    loop {
        match link.receive() {
            Ok(Some(message)) => {
                let message = message.to_vec();
                // What is still to be sent of the own message.
                while !link.flush().unwrap_or(true) {
                    wait(link);
                }
                return Ok(message);
            }
            Ok(None) => wait(link),
            Err(error) => return Err(error),
        }
    }
}

fn wait(link: &dyn Link) {
    assert!(readiness::wait(link.readiness(), Some(Duration::from_secs(10))).unwrap(), "{link:?}");
}

/// A client that asks for `host`, and a server.
fn met(host: &str, client: &ClientTls, server: &ServerTls) -> [Result<Vec<u8>, LinkError>; 2] {
    let options = LinkOptions::default();
    let (listener, port) = listener(server);
    let left = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let left = TlsLink::client(left.into(), host, client, &options).unwrap();
    let right = listener.accept(&options).unwrap().expect("the client has connected");
    meet(left, right)
}

/// Why both sides gave up.
fn parted(host: &str, client: &ClientTls, server: &ServerTls) -> [TlsError; 2] {
    met(host, client, server).map(|outcome| match outcome {
        Err(LinkError::Tls(error)) => error,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_name_and_an_address_that_are_in_the_certificate_are_right() {
    let authority = Authority::new("one");
    let server = authority.sign(&["engine.example", "127.0.0.1", "::1"]).server();
    for host in ["engine.example", "ENGINE.example", "127.0.0.1", "::1"] {
        let [left, right] = met(host, &authority.client(None), &server);
        assert_eq!((left.unwrap(), right.unwrap()), (b"right".to_vec(), b"left!".to_vec()));
    }
}

#[test]
fn each_end_names_the_other() {
    let authority = Authority::new("one");
    let (listener, port) = listener(&authority.sign(&["localhost"]).server());
    let options = LinkOptions::default();
    let left = TlsLink::connect("localhost", port, &authority.client(None), &options).unwrap();
    let right = listener.accept(&options).unwrap().expect("it has connected");
    assert_eq!(left.info().address, format!("tls:localhost:{port}"));
    assert!(right.info().address.starts_with("tls:127.0.0.1:"), "{:?}", right.info());
    assert!(listener.accept(&options).unwrap().is_none());
}

#[test]
fn an_authority_that_is_not_trusted_is_told_on_both_sides() {
    let server = Authority::new("theirs").sign(&["localhost"]).server();
    let [left, right] = parted("localhost", &Authority::new("ours").client(None), &server);
    assert_eq!(left, TlsError::UnknownAuthority { peer: "localhost".to_owned() });
    assert!(matches!(right, TlsError::CertificateRefused { .. }), "{right:?}");
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let authority = Authority::new("one");
    let server = authority.sign(&["engine.example", "127.0.0.1"]).server();
    let [left, _] = parted("other.example", &authority.client(None), &server);
    let TlsError::WrongName { expected, presented } = &left else { panic!("{left:?}") };
    assert_eq!(expected, "other.example");
    assert!(presented.iter().any(|name| name == "engine.example"), "{presented:?}");
    let [left, _] = parted("127.0.0.2", &authority.client(None), &server);
    assert!(left.to_string().contains("engine.example"), "{left}");
}

#[test]
fn a_certificate_out_of_its_time_is_told() {
    let authority = Authority::new("one");
    let old = authority.sign_expired(&["localhost"]).server();
    let [left, _] = parted("localhost", &authority.client(None), &old);
    assert_eq!(left, TlsError::Expired { peer: "localhost".to_owned() });
    let early = authority.sign_early(&["localhost"]).server();
    let [left, _] = parted("localhost", &authority.client(None), &early);
    assert_eq!(left, TlsError::NotYetValid { peer: "localhost".to_owned() });
}

#[test]
fn clients_may_have_to_show_a_certificate() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let server = authority.sign(&["localhost"]);
    let server = ServerTls::new(server.identity(), Some(&authority.authorities())).unwrap();
    let known = authority.client(Some(&authority.sign(&["a client"])));
    let [left, right] = met("localhost", &known, &server);
    assert!(left.is_ok() && right.is_ok(), "{left:?} {right:?}");
    let [left, right] = parted("localhost", &authority.client(None), &server);
    assert_eq!(left, TlsError::CertificateRequired);
    assert!(matches!(right, TlsError::BadCertificate { .. }), "{right:?}");
    for wrong in [other.sign(&["a client"]), authority.sign_expired(&["a client"])] {
        let [left, _] = parted("localhost", &authority.client(Some(&wrong)), &server);
        assert!(matches!(left, TlsError::CertificateRefused { .. }), "{left:?}");
    }
}

#[test]
fn a_plain_peer_and_one_that_speaks_tls_tell_each_other_apart() {
    let authority = Authority::new("one");
    let options = LinkOptions::default();
    let (secret, port) = listener(&authority.sign(&["localhost"]).server());
    let left = TcpLink::connect((Ipv4Addr::LOCALHOST, port).into(), &options).unwrap();
    let right = secret.accept(&options).unwrap().expect("it has connected");
    let [left, right] = meet(left, right);
    assert!(matches!(left, Err(LinkError::Tls(TlsError::PeerSpeaksTls))), "{left:?}");
    assert!(matches!(right, Err(LinkError::Tls(TlsError::PeerIsPlain))), "{right:?}");

    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = plain.local_addr().unwrap().port();
    let left = TlsLink::connect("localhost", port, &authority.client(None), &options).unwrap();
    let right = plain.accept(&options).unwrap().expect("it has connected");
    let [left, right] = meet(left, right);
    assert!(matches!(left, Err(LinkError::Tls(TlsError::PeerIsPlain))), "{left:?}");
    assert!(matches!(right, Err(LinkError::Tls(TlsError::PeerSpeaksTls))), "{right:?}");
}

#[test]
fn a_peer_that_hangs_up_in_the_handshake_is_told_from_one_that_was_there() {
    let authority = Authority::new("one");
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = LinkOptions::default();
    let mut link = TlsLink::connect("localhost", port, &authority.client(None), &options).unwrap();
    let mut peer = listener.accept().unwrap().0;
    // Its first words are read, so that the end is an orderly one.
    assert!(peer.read(&mut [0; 4096]).unwrap() > 100);
    drop(peer);
    let error = outcome(&mut link).unwrap_err();
    assert!(matches!(error, LinkError::Tls(TlsError::HungUp)), "{error:?}");
}

#[test]
fn garbage_instead_of_a_handshake_costs_little_and_ends_the_link() {
    let authority = Authority::new("one");
    let (listener, port) = listener(&authority.sign(&["localhost"]).server());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200_u32 {
        let mut peer = TcpStream::connect(address).unwrap();
        let mut link = listener.accept(&LinkOptions::default()).unwrap().expect("it has connected");
        let mut garbage: Vec<u8> = (0..300)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 16) as u8
            })
            .collect();
        // Often the head of a record, so that more than the first five bytes are looked at.
        if round % 4 > 0 {
            garbage[..5].copy_from_slice(&[0x16, 3, 1, 0, 200]);
        }
        if round % 4 > 1 {
            garbage[5..9].copy_from_slice(&[1, 0, 0, 196]);
        }
        peer.write_all(&garbage).unwrap();
        drop(peer);
        let error = outcome(&mut link).unwrap_err();
        assert!(matches!(error, LinkError::Tls(_)), "{error:?}");
        assert!(link.memory() <= 256 << 10);
    }
}

#[test]
fn half_a_handshake_is_waited_for_without_a_sound() {
    let authority = Authority::new("one");
    let (listener, port) = listener(&authority.sign(&["localhost"]).server());
    let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut link = listener.accept(&LinkOptions::default()).unwrap().expect("it has connected");
    link.buffer(5).unwrap().expect("room").copy_from_slice(b"early");
    link.commit();
    assert!(!link.flush().unwrap(), "nothing can be sent in secret yet");
    peer.write_all(&[0x16, 3, 1, 0, 200, 1, 0]).unwrap();
    wait(&link);
    while readiness::wait(link.readiness(), Some(Duration::ZERO)).unwrap() {
        assert_eq!(link.receive().unwrap(), None);
    }
    assert!(!link.flush().unwrap() && link.is_handshaking());
    assert!(!readiness::wait(link.readiness(), Some(Duration::ZERO)).unwrap(), "it would spin");
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let (server, other) = (one.sign(&["localhost"]), two.sign(&["localhost"]));
    let told = |result: Result<ServerTls, TlsSetupError>| result.unwrap_err().to_string();
    let identity = |chain: &str, key: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes());
    let mixed = identity(&server.chain, &other.key).unwrap();
    assert!(told(ServerTls::new(mixed, None)).contains("does not belong"));
    let error = identity(&server.key, &server.key).unwrap_err().to_string();
    assert!(error.contains("no certificate"), "{error}");
    let error = identity(&server.chain, &server.chain).unwrap_err().to_string();
    assert!(error.contains("no unencrypted private key"), "{error}");
    assert!(Authorities::from_pem(b"").unwrap_err().to_string().contains("no certificate"));
    assert!(!format!("{:?}", server.identity()).contains(&server.key[40..60]));
}
