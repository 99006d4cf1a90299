//! `tls_server_config` becomes what handshakes are made with.
//! It must never offer less protection than was asked for: what it cannot do it refuses.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    clients::{self, Policy},
    error::Reason,
    files::Files,
    form::TlsForm,
    names,
};

/// What a handshake needs, and what it proves.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Fresh for every change, and with it the sessions that may be resumed.
    pub config: Arc<ServerConfig>,
    /// Whether a client's certificate says who it is.
    pub verifies_clients: bool,
}

impl Tls {
    /// `None` where the section asks for nothing.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting cannot be met.
    pub fn new(form: &TlsForm, http2: bool, files: &mut Files<'_>) -> Result<Option<Self>, Reason> {
        if *form == TlsForm::default() {
            return Ok(None);
        }
        let versions = names::versions(set(&form.min_version), set(&form.max_version))?;
        let policy = Policy::parse(set(&form.client_auth_type))?;
        let mut provider = ring::default_provider();
        if let Some(named) = listed(form.cipher_suites.as_deref()) {
            provider.cipher_suites = names::suites(named)?;
        }
        if let Some(named) = listed(form.curve_preferences.as_deref()) {
            provider.kx_groups = names::curves(named)?;
        }
        let provider = Arc::new(provider);

        let lacking = || {
            Reason::setting(
                "tls_server_config needs both cert_file and key_file; without tls_server_config there is no TLS",
            )
        };
        if !Pem::is_given(&form.key, &form.key_file) {
            return Err(lacking());
        }
        let certificate = Pem::new("cert", &form.cert, &form.cert_file, files)?;
        let certificate = certificate.ok_or_else(lacking)?;
        let key = Pem::new("key", &form.key, &form.key_file, files)?;
        let key = key.ok_or_else(lacking)?;
        let roots = Pem::new("client_ca", &form.client_ca, &form.client_ca_file, files)?;
        let roots = roots.as_ref().map(Pem::roots).transpose()?;
        let allowed = form.client_allowed_sans.clone();
        let verifier = clients::verifier(policy, roots, allowed, &provider)?;

        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| {
                Reason::setting(format!(
                    "no handshake could succeed with these versions, cipher suites and curves: {error}"
                ))
            })?;
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder
            .with_single_cert(certificate.certificates()?, key.key()?)
            .map_err(|error| {
                Reason::setting(format!(
                    "{} and {} are of no use together: {error}",
                    certificate.name, key.name
                ))
            })?;
        config.ignore_client_order = form.prefer_server_cipher_suites.unwrap_or(true);
        config.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok(Some(Self {
            config: Arc::new(config),
            verifies_clients: policy.verifies(),
        }))
    }
}

/// An empty text sets nothing, as in exporters.
fn set(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

/// An empty list sets nothing either.
fn listed(names: Option<&[String]>) -> Option<&[String]> {
    names.filter(|names| !names.is_empty())
}

/// Text in PEM, and what to call it.
struct Pem {
    name: String,
    bytes: Vec<u8>,
}

impl Pem {
    fn is_given(inline: &Option<String>, file: &Option<String>) -> bool {
        set(inline).or(set(file)).is_some()
    }

    /// Written in the configuration under `key`, or in a file that it names.
    fn new(
        key: &str,
        inline: &Option<String>,
        file: &Option<String>,
        files: &mut Files<'_>,
    ) -> Result<Option<Self>, Reason> {
        match (set(inline), set(file)) {
            (Some(_), Some(_)) => Err(Reason::setting(format!(
                "both {key} and {key}_file are given; leave one out"
            ))),
            (Some(text), None) => Ok(Some(Self {
                name: key.to_owned(),
                bytes: text.as_bytes().to_vec(),
            })),
            (None, Some(file)) => {
                let name = format!("{key}_file {file}");
                let bytes = files.read(file, &name)?;
                Ok(Some(Self { name, bytes }))
            }
            (None, None) => Ok(None),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Reason> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let all = all.map_err(|error| self.unusable(&error))?;
        if all.is_empty() {
            return Err(Reason::setting(format!(
                "{} holds no certificate in PEM",
                self.name
            )));
        }
        Ok(all)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Reason> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| {
            Reason::setting(format!(
                "{} holds no private key in PEM that is not encrypted",
                self.name
            ))
        })
    }

    fn roots(&self) -> Result<RootCertStore, Reason> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.unusable(&error))?;
        }
        Ok(roots)
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> Reason {
        Reason::setting(format!("{} is of no use: {error}", self.name))
    }
}
