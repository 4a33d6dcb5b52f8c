use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use procall::{Client, ConnectOptions, Error, Service, TlsFiles, TlsServing};
use procall_engine::{Engine, EngineBuilder, PeerRow};

pub(crate) use crate::common::SAFETY;
use crate::common::{served, until_peers};
pub(crate) use crate::worker::Worker;

/// A folder with the certificates of the tests, their keys for nobody else to read.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/certificates");
        for entry in fs::read_dir(all).unwrap() {
            let from = entry.unwrap().path();
            let to = folder.path().join(from.file_name().unwrap());
            fs::copy(&from, &to).unwrap();
            fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn serving(&self, name: &str) -> TlsServing {
        let file = |end: &str| self.path(&format!("{name}.{end}"));
        TlsServing { cert: file("pem"), key: file("key"), client_ca: None }
    }

    /// Trusts the authority of the tests.
    pub(crate) fn trusting(&self) -> TlsFiles {
        TlsFiles { ca: Some(self.path("ca.pem")), ..TlsFiles::default() }
    }

    /// The same, and shows a certificate.
    pub(crate) fn showing(&self, name: &str) -> TlsFiles {
        let file = |end: &str| Some(self.path(&format!("{name}.{end}")));
        TlsFiles { cert: file("pem"), key: file("key"), ..self.trusting() }
    }
}

/// An engine that listens for TLS at a free port of the loopback, and at a plain one.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) address: String,
    pub(crate) plain: String,
    pub(crate) port: u16,
    pub(crate) certificates: Certificates,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with("server", |_, builder| builder)
    }

    pub(crate) fn with(
        name: &str,
        shape: impl FnOnce(&Certificates, EngineBuilder) -> EngineBuilder,
    ) -> Self {
        let certificates = Certificates::new();
        let builder = Engine::builder()
            .listen("tls:127.0.0.1:0".parse().unwrap())
            .listen("tcp:127.0.0.1:0".parse().unwrap())
            .tls(certificates.serving(name));
        let engine = shape(&certificates, builder).start().unwrap();
        let address = engine.addresses()[0].to_string();
        let plain = engine.addresses()[1].to_string();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { engine, address, plain, port, certificates }
    }

    pub(crate) async fn connect(&self, address: &str, tls: TlsFiles) -> Result<Client, Error> {
        connect(address, tls, None).await
    }

    pub(crate) async fn client(&self) -> Client {
        self.connect(&self.address, self.certificates.trusting()).await.unwrap()
    }

    /// Runs a service that registers over TLS, and waits until it has.
    pub(crate) async fn serve(&self, service: Service) -> Worker {
        let service = service.engine(&self.address).engine_tls(self.certificates.trusting());
        let run = service.run_until(std::future::pending());
        served(&self.engine, || Worker(tokio::spawn(run))).await
    }

    pub(crate) async fn until(&self, so: impl Fn(&[PeerRow]) -> bool) {
        until_peers(&self.engine, so).await;
    }
}

pub(crate) async fn connect(
    address: &str,
    tls: TlsFiles,
    token: Option<&str>,
) -> Result<Client, Error> {
    let token = token.map(|token| token.as_bytes().to_vec());
    Client::connect_with(address, ConnectOptions { tls, token, ..ConnectOptions::default() }).await
}

pub(crate) fn math() -> Service {
    Service::new("math")
        .method("add", |a: f64, b: f64| a + b)
        .method("echo", |bytes: procall::Bytes| bytes)
        .async_method("hang", std::future::pending::<Result<(), Error>>)
}
