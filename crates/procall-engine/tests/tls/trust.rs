//! Who trusts whom, and what is said when somebody does not.

use std::os::unix::fs::PermissionsExt;

use procall::{ErrorCode, Executed, Listener, TlsFiles, TlsServing};
use procall_engine::Engine;

use crate::support::{Certificates, House, math};

/// The code, and the words that are to be in the message.
async fn refused(house: &House, address: &str, tls: TlsFiles, code: ErrorCode, words: &[&str]) {
    let error = house.connect(address, tls).await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(error.executed(), Executed::No);
    for word in words {
        assert!(error.message().contains(word), "{word:?} is not in: {error}");
    }
}

const UNKNOWN: ErrorCode = ErrorCode::Unauthenticated;

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_trusted_is_told_with_the_fix() {
    let house = House::new();
    let other =
        TlsFiles { ca: Some(house.certificates.path("other-ca.pem")), ..TlsFiles::default() };
    refused(&house, &house.address, other, UNKNOWN, &["nobody who is trusted", "PROCALL_TLS_CA"])
        .await;
    house.client().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_told_with_the_right_ones() {
    let house =
        House::with("server", |_, builder| builder.listen("tls:127.0.0.2:0".parse().unwrap()));
    let address = house.engine.addresses()[2].to_string();
    let trusting = house.certificates.trusting();
    refused(&house, &address, trusting, UNKNOWN, &["not for 127.0.0.2", "localhost"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_looked_up_is_as_good_as_an_address() {
    let house = House::new();
    let _worker = house.serve(math()).await;
    let address = format!("tls:localhost:{}", house.port);
    let client = house.connect(&address, house.certificates.trusting()).await.unwrap();
    assert_eq!(client.call::<f64>("math.add", (1, 2)).await.unwrap(), 3.0);
    let none = "tls:no-such-host.invalid:1";
    let error = house.connect(none, house.certificates.trusting()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_told() {
    let house = House::with("expired", |_, builder| builder);
    let trusting = house.certificates.trusting();
    refused(&house, &house.address, trusting, UNKNOWN, &["has expired", "renew"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_have_to_show_a_certificate() {
    let house = House::with("server", |certificates, builder| {
        let serving = certificates.serving("server");
        builder.tls(TlsServing { client_ca: Some(certificates.path("ca.pem")), ..serving })
    });
    let (address, certificates) = (&house.address, &house.certificates);
    let words = ["wants to see a certificate", "PROCALL_TLS_CERT"];
    refused(&house, address, certificates.trusting(), UNKNOWN, &words).await;
    let other = certificates.showing("other-client");
    refused(&house, address, other, UNKNOWN, &["does not accept the certificate"]).await;
    let expired = certificates.showing("expired");
    refused(&house, address, expired, UNKNOWN, &["does not accept the certificate"]).await;
    let client = house.connect(address, certificates.showing("client")).await.unwrap();
    client.call::<serde_json::Value>("procall.engine.peers", ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_and_tls_peers_at_the_wrong_port_are_told_the_other_scheme() {
    let house = House::new();
    let wrong = ErrorCode::ProtocolError;
    let secret = house.address.replace("tls:", "tcp:");
    refused(&house, &secret, TlsFiles::default(), wrong, &["speaks TLS", "tls: instead of tcp:"])
        .await;
    let plain = house.plain.replace("tcp:", "tls:");
    let error = house.connect(&plain, house.certificates.trusting()).await.unwrap_err();
    assert!(error.message().contains("tcp: instead of tls:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_too_that_they_cannot_register() {
    let house = House::new();
    let service = math().engine(&house.address);
    let other =
        TlsFiles { ca: Some(house.certificates.path("other-ca.pem")), ..TlsFiles::default() };
    let error = service.engine_tls(other).run_until(std::future::pending()).await.unwrap_err();
    assert_eq!(error.code(), UNKNOWN, "{error}");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_with_the_fix() {
    let certificates = Certificates::new();
    let serving = certificates.serving("server");
    std::fs::set_permissions(&serving.key, PermissionsExt::from_mode(0o640)).unwrap();
    let builder = Engine::builder().listen("tls:127.0.0.1:0".parse().unwrap());
    let error = builder.tls(serving.clone()).start().unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.message().contains("chmod 600"), "{error}");
    let files = TlsFiles { cert: Some(serving.cert), key: None, ..TlsFiles::default() };
    let error = files.load().unwrap_err();
    assert!(error.message().contains("given together"), "{error}");
}

#[tokio::test]
async fn what_cannot_serve_is_refused_with_the_file() {
    let certificates = Certificates::new();
    let address = "tls:127.0.0.1:0".parse().unwrap();
    let told = |serving: &TlsServing| {
        let error = Listener::bind_secured(&address, serving).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        error.message().to_owned()
    };
    let mixed =
        TlsServing { key: certificates.path("client.key"), ..certificates.serving("server") };
    assert!(told(&mixed).contains("does not belong"), "{}", told(&mixed));
    let missing = TlsServing { cert: certificates.path("none"), ..certificates.serving("server") };
    assert!(told(&missing).contains("none cannot be read"), "{}", told(&missing));
    let named = "tls:localhost:0".parse().unwrap();
    let error = Listener::bind_secured(&named, &certificates.serving("server")).unwrap_err();
    assert!(error.message().contains("IP address"), "{error}");
}
