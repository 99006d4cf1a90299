//! Client certificates: whether one is requested, required and verified.
//!
//! # Invariants
//! An unverified certificate does not authenticate a client.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::{extensions::GeneralName, prelude::*};

use super::error::Reason;

/// `client_auth_type`, with the names of Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthPolicy {
    /// Not requested.
    None,
    /// Requested, not required, not verified.
    Request,
    /// Required, not verified.
    RequireAny,
    /// Not required; verified if given.
    VerifyIfGiven,
    /// Required and verified.
    RequireAndVerify,
}

impl ClientAuthPolicy {
    pub fn parse(named: Option<&str>) -> Result<Self, Reason> {
        match named {
            None | Some("NoClientCert") => Ok(Self::None),
            Some("RequestClientCert") => Ok(Self::Request),
            // The second is an old spelling that exporters still accept.
            Some("RequireAnyClientCert" | "RequireClientCert") => Ok(Self::RequireAny),
            Some("VerifyClientCertIfGiven") => Ok(Self::VerifyIfGiven),
            Some("RequireAndVerifyClientCert") => Ok(Self::RequireAndVerify),
            Some(other) => Err(Reason::setting(format!(
                "client_auth_type is {other:?}; write NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ))),
        }
    }

    /// Whether an accepted certificate authenticates the client.
    pub const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The verifier of client certificates; `None` if none are requested.
pub fn verifier(
    policy: ClientAuthPolicy,
    roots: Option<RootCertStore>,
    allowed: Option<Vec<String>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Reason> {
    if allowed.is_some() && !policy.requires() {
        return Err(Reason::setting(
            "client_allowed_sans needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert: otherwise a client may connect without a certificate",
        ));
    }
    if allowed.as_ref().is_some_and(Vec::is_empty) {
        return Err(Reason::setting(
            "client_allowed_sans is empty, so no client could connect; add a name or remove it",
        ));
    }
    let base: Arc<dyn ClientCertVerifier> = match (policy, roots) {
        (ClientAuthPolicy::None, None) => return Ok(None),
        (ClientAuthPolicy::None, Some(_)) => {
            return Err(Reason::setting(
                "client_ca_file is given, but client_auth_type requests no certificate; write RequireAndVerifyClientCert",
            ));
        }
        (ClientAuthPolicy::Request | ClientAuthPolicy::RequireAny, _) => {
            Arc::new(UnverifiedCerts {
                required: policy.requires(),
                provider: Arc::clone(provider),
            })
        }
        (ClientAuthPolicy::VerifyIfGiven | ClientAuthPolicy::RequireAndVerify, None) => {
            return Err(Reason::setting(
                "client_auth_type verifies certificates, which needs client_ca_file",
            ));
        }
        (ClientAuthPolicy::VerifyIfGiven | ClientAuthPolicy::RequireAndVerify, Some(roots)) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let builder = if policy.requires() {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            let unusable = |error| Reason::setting(format!("client_ca_file is unusable: {error}"));
            builder.build().map_err(unusable)?
        }
    };
    Ok(Some(match allowed {
        None => base,
        Some(allowed) => Arc::new(AllowedNames { base, allowed }),
    }))
}

/// Accepts any certificate whose key the client has.
#[derive(Debug)]
struct UnverifiedCerts {
    required: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for UnverifiedCerts {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Accepts certificates that `base` accepts and that have one of the allowed names.
#[derive(Debug)]
struct AllowedNames {
    base: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for AllowedNames {
    fn client_auth_mandatory(&self) -> bool {
        self.base.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.base.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .base
            .verify_client_cert(end_entity, intermediates, now)?;
        let names = names(end_entity).ok_or(CertificateError::BadEncoding)?;
        if names.iter().any(|name| self.allowed.contains(name)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.base.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.base.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.base.supported_verify_schemes()
    }
}

/// The subject alternative names of a certificate, formatted as in Go: DNS names, e-mail addresses, IP
/// addresses and URIs. `None` if the certificate cannot be parsed.
fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let Some(extension) = certificate.subject_alternative_name().ok()? else {
        return Some(Vec::new());
    };
    let written = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    let names = &extension.value.general_names;
    Some(names.iter().filter_map(written).collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(v6).to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_formatted_as_in_go() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::DnsName("scraper.example".try_into().unwrap()),
            SanType::Rfc822Name("me@example.org".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("spiffe://example/scraper".try_into().unwrap()),
        ];
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(
            names(certificate.der()).unwrap(),
            [
                "scraper.example",
                "me@example.org",
                "192.0.2.1",
                "2001:db8::1",
                "spiffe://example/scraper"
            ]
        );
        let bare = CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(names(bare.der()), Some(Vec::new()));
        assert_eq!(names(b"no certificate"), None);
    }

    #[test]
    fn policies() {
        for (named, expected, verifies) in [
            (None, ClientAuthPolicy::None, false),
            (Some("NoClientCert"), ClientAuthPolicy::None, false),
            (Some("RequestClientCert"), ClientAuthPolicy::Request, false),
            (
                Some("RequireAnyClientCert"),
                ClientAuthPolicy::RequireAny,
                false,
            ),
            (
                Some("RequireClientCert"),
                ClientAuthPolicy::RequireAny,
                false,
            ),
            (
                Some("VerifyClientCertIfGiven"),
                ClientAuthPolicy::VerifyIfGiven,
                true,
            ),
            (
                Some("RequireAndVerifyClientCert"),
                ClientAuthPolicy::RequireAndVerify,
                true,
            ),
        ] {
            let policy = ClientAuthPolicy::parse(named).unwrap();
            assert_eq!((policy, policy.verifies()), (expected, verifies));
        }
        let said = ClientAuthPolicy::parse(Some("Trust"))
            .unwrap_err()
            .to_string();
        assert!(said.contains("\"Trust\"") && said.contains("RequireAndVerifyClientCert"));
    }
}
