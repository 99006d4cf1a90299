//! Certificates made for one test, and TLS clients that use them.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use super::http;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::{TLS12, TLS13},
};

/// One that signs.
pub struct Authority {
    pub pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
    pub chain: Vec<CertificateDer<'static>>,
    der: Vec<u8>,
}

impl Identity {
    pub fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            der: key.serialize_der(),
        }
    }

    /// Writes both, as NAME.pem and NAME.key.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// For a host or a client of this name.
    pub fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress([127, 0, 0, 1].into()));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(&certificate, &key)
    }

    /// A client that believes this authority alone.
    pub fn client(&self, versions: TlsVersions, shows: Option<&Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match shows {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.der.clone()));
                builder
                    .with_client_auth_cert(identity.chain.clone(), key)
                    .unwrap()
            }
        }
    }
}

pub type TlsVersions = &'static [&'static SupportedProtocolVersion];
pub const ANY: TlsVersions = &[&TLS13, &TLS12];

pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// Connects; the handshake is made with the first byte that is sent.
pub fn connect(address: SocketAddr, client: ClientConfig) -> Secured {
    let stream = http::connect(address);
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(client), name).unwrap();
    StreamOwned::new(session, stream)
}

/// One request with these headers; the whole answer, or why there is none.
pub fn ask(
    address: SocketAddr,
    client: ClientConfig,
    path: &str,
    headers: &str,
) -> io::Result<String> {
    let answer = http::ask(connect(address, client), "GET", path, headers)?;
    String::from_utf8(answer).map_err(io::Error::other)
}
