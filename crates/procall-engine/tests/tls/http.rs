//! HTTP over TLS.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{House, SAFETY, math};

fn house() -> House {
    House::with("server", |_, builder| builder.https("127.0.0.1:0".parse().unwrap()))
}

fn connector(house: &House) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = std::fs::read(house.certificates.path("ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

const CALL: &str = "POST /v1/call/math/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 6\r\nConnection: close\r\n\r\n[1, 2]";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_over_tls() {
    let house = house();
    let _worker = house.serve(math()).await;
    let address = house.engine.http_address().unwrap();
    assert_eq!(house.engine.http_url().unwrap(), format!("https://{address}"));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector(&house).connect(name, stream).await.unwrap();
    stream.write_all(CALL.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SAFETY, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("3.0"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_is_told_to_begin_with_https() {
    let house = house();
    let mut stream = TcpStream::connect(house.engine.http_address().unwrap()).await.unwrap();
    stream.write_all(CALL.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SAFETY, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_shake_hands_are_let_go() {
    let house = house();
    for words in [&b""[..], &[0x16, 3, 1, 0, 200, 1]] {
        let mut stream = TcpStream::connect(house.engine.http_address().unwrap()).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut told = Vec::new();
        // A reset is an end as good as any.
        let _ = timeout(SAFETY, stream.read_to_end(&mut told)).await.expect("it may stay for ever");
    }
}
