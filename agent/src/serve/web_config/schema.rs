//! The schema of the web configuration file: YAML in the format of Prometheus' exporter-toolkit
//! (docs/web-configuration.md there).
//!
//! # Invariants
//! An unknown key is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfigFile {
    pub tls_server_config: Option<TlsSection>,
    pub http_server_config: Option<HttpSection>,
    /// User names, and bcrypt hashes of their passwords.
    pub basic_auth_users: Option<BTreeMap<String, String>>,
    pub rate_limit: Option<IgnoredAny>,
}

/// `tls_server_config`.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    pub cert: Option<String>,
    pub key: Option<String>,
    pub client_ca: Option<String>,
    pub cert_file: Option<String>,
    pub key_file: Option<String>,
    pub client_ca_file: Option<String>,
    pub client_auth_type: Option<String>,
    pub client_allowed_sans: Option<Vec<String>>,
    pub min_version: Option<String>,
    pub max_version: Option<String>,
    pub cipher_suites: Option<Vec<String>>,
    pub prefer_server_cipher_suites: Option<bool>,
    pub curve_preferences: Option<Vec<String>>,
}

/// `http_server_config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    pub http2: Option<bool>,
    pub headers: Option<BTreeMap<String, String>>,
}

impl WebConfigFile {
    /// Parses the text of a file; an empty one sets nothing.
    ///
    /// # Errors
    /// The position, when it is not YAML or does not match the schema.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options::<Option<Self>>(text, options)
            .map(Option::unwrap_or_default)
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key() {
        let file = WebConfigFile::parse(
            "tls_server_config:
  cert: c
  key: k
  client_ca: a
  cert_file: cf
  key_file: kf
  client_ca_file: af
  client_auth_type: t
  client_allowed_sans: [s]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [x, y]
  prefer_server_cipher_suites: false
  curve_preferences:
    - X25519
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
basic_auth_users:
  alice: $2y$10$abc
  007: numbers are names too
  7: and not the same
rate_limit:
  interval: 1s
  burst: 2
",
        )
        .unwrap();
        let some = |text: &str| Some(text.to_owned());
        let expected = TlsSection {
            cert: some("c"),
            key: some("k"),
            client_ca: some("a"),
            cert_file: some("cf"),
            key_file: some("kf"),
            client_ca_file: some("af"),
            client_auth_type: some("t"),
            client_allowed_sans: Some(vec!["s".into()]),
            min_version: some("TLS12"),
            max_version: some("TLS13"),
            cipher_suites: Some(vec!["x".into(), "y".into()]),
            prefer_server_cipher_suites: Some(false),
            curve_preferences: Some(vec!["X25519".into()]),
        };
        assert_eq!(file.tls_server_config, Some(expected));
        let http = file.http_server_config.unwrap();
        assert_eq!(http.http2, Some(false));
        assert_eq!(http.headers.unwrap()["X-Frame-Options"], "deny");
        let users = file.basic_auth_users.unwrap();
        assert_eq!(users["alice"], "$2y$10$abc");
        assert_eq!(users["007"], "numbers are names too");
        assert_eq!(users["7"], "and not the same");
        assert!(file.rate_limit.is_some());
    }

    #[test]
    fn booleans_as_in_go() {
        for (written, expected) in [("true", true), ("yes", true), ("on", true), ("off", false)] {
            let file =
                WebConfigFile::parse(&format!("http_server_config: {{http2: {written}}}")).unwrap();
            assert_eq!(file.http_server_config.unwrap().http2, Some(expected));
        }
    }

    #[test]
    fn empty_sections_set_nothing() {
        for text in ["", "\n", "# nothing\n", "---\n", "{}", "null"] {
            let file = WebConfigFile::parse(text).unwrap();
            assert!(file.tls_server_config.is_none() && file.basic_auth_users.is_none());
        }
        for text in ["tls_server_config:", "tls_server_config: {}"] {
            let tls = WebConfigFile::parse(text).unwrap().tls_server_config;
            assert_eq!(tls.unwrap_or_default(), TlsSection::default(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_position() {
        for (text, said) in [
            ("tls_servers: {}", "tls_servers"),
            ("tls_server_config:\n  cert_fil: x", "cert_fil"),
            ("http_server_config:\n  http3: true", "http3"),
            ("tls_server_config: 5", "line 1"),
            ("tls_server_config:\n  cipher_suites: x", "line 2"),
            (
                "tls_server_config:\n  prefer_server_cipher_suites: 5",
                "line 2",
            ),
            ("http_server_config:\n  http2: maybe", "line 2"),
            ("basic_auth_users: [a, b]", "line 1"),
            ("basic_auth_users:\n  a: x\n  a: y", "line 3"),
            ("basic_auth_users:\n  a: {b: c}", "line 2"),
            ("tls_server_config: {", "line 1"),
            ("- a", "line 1"),
            ("a: b: c", "line 1"),
            ("{}\n---\n{}", ""),
        ] {
            let reason = WebConfigFile::parse(text).unwrap_err();
            assert!(reason.contains(said), "{text}: {reason}");
            assert!(!reason.contains('\n'), "one sentence: {reason}");
        }
    }
}
