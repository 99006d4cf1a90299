//! Turns `tls_server_config` into a configuration of rustls.
//!
//! # Invariants
//! A setting that cannot be honored is an error, never ignored.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    client_auth::{self, ClientAuthPolicy},
    error::Reason,
    files::ConfigFiles,
    schema::TlsSection,
    tls_names,
};

/// How to make TLS handshakes.
#[derive(Debug, Clone)]
pub struct Tls {
    /// New for every reload, so that old sessions are not resumed.
    pub config: Arc<ServerConfig>,
    /// Whether a client certificate authenticates the client.
    pub verifies_clients: bool,
}

impl Tls {
    /// `None` if the section is empty.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting is wrong or not supported.
    pub fn new(
        section: &TlsSection,
        http2: bool,
        files: &mut ConfigFiles<'_>,
    ) -> Result<Option<Self>, Reason> {
        if *section == TlsSection::default() {
            return Ok(None);
        }
        let versions = tls_names::versions(set(&section.min_version), set(&section.max_version))?;
        let policy = ClientAuthPolicy::parse(set(&section.client_auth_type))?;
        let mut provider = ring::default_provider();
        if let Some(named) = listed(section.cipher_suites.as_deref()) {
            provider.cipher_suites = tls_names::suites(named)?;
        }
        if let Some(named) = listed(section.curve_preferences.as_deref()) {
            provider.kx_groups = tls_names::curves(named)?;
        }
        let provider = Arc::new(provider);

        let incomplete = || {
            Reason::setting(
                "tls_server_config needs both cert_file and key_file; without tls_server_config there is no TLS",
            )
        };
        if !Pem::is_given(&section.key, &section.key_file) {
            return Err(incomplete());
        }
        let certificate = Pem::new("cert", &section.cert, &section.cert_file, files)?;
        let certificate = certificate.ok_or_else(incomplete)?;
        let key = Pem::new("key", &section.key, &section.key_file, files)?;
        let key = key.ok_or_else(incomplete)?;
        let roots = Pem::new(
            "client_ca",
            &section.client_ca,
            &section.client_ca_file,
            files,
        )?;
        let roots = roots.as_ref().map(Pem::roots).transpose()?;
        let allowed = section.client_allowed_sans.clone();
        let verifier = client_auth::verifier(policy, roots, allowed, &provider)?;

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
                    "{} and {} cannot be used together: {error}",
                    certificate.name, key.name
                ))
            })?;
        config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
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

/// An empty string sets nothing, as in other exporters.
fn set(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

/// An empty list sets nothing either.
fn listed(names: Option<&[String]>) -> Option<&[String]> {
    names.filter(|names| !names.is_empty())
}

/// PEM text, and its name in errors.
struct Pem {
    name: String,
    bytes: Vec<u8>,
}

impl Pem {
    fn is_given(inline: &Option<String>, file: &Option<String>) -> bool {
        set(inline).or(set(file)).is_some()
    }

    /// Inline in the configuration as `key`, or in the file of `{key}_file`.
    fn new(
        key: &str,
        inline: &Option<String>,
        file: &Option<String>,
        files: &mut ConfigFiles<'_>,
    ) -> Result<Option<Self>, Reason> {
        match (set(inline), set(file)) {
            (Some(_), Some(_)) => Err(Reason::setting(format!(
                "both {key} and {key}_file are given; remove one"
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
                "{} contains no PEM certificate",
                self.name
            )));
        }
        Ok(all)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Reason> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| {
            Reason::setting(format!(
                "{} contains no unencrypted PEM private key",
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
        Reason::setting(format!("{} is unusable: {error}", self.name))
    }
}
