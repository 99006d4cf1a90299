//! A validated web configuration: TLS, users, and the headers added to responses.
//!
//! # Invariants
//! It exists only if every file was read and every setting is valid.

use std::{collections::BTreeMap, path::Path};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use super::{
    error::{ConfigError, Reason},
    files::{ConfigFiles, FileDigests},
    schema::WebConfigFile,
    tls::Tls,
    users::Users,
};

/// Headers that can be added to responses, with their allowed values; an empty list allows any.
const ALLOWED_HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// A web configuration. By default, empty.
#[derive(Debug, Default)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// `None`: no passwords.
    pub users: Option<Users>,
    /// Added to every response.
    pub headers: HeaderMap,
}

impl WebConfig {
    /// Reads the file and every file that it names; returns their digests too.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting is wrong or not supported.
    pub fn load(path: &Path) -> Result<(Self, FileDigests), ConfigError> {
        // Relative paths start at the folder of the configuration.
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        let mut files = ConfigFiles::new(folder);
        let config = files
            .read(&name.to_string_lossy(), "it")
            .and_then(|bytes| Self::new(&bytes, &mut files));
        match config {
            Ok(config) => Ok((config, files.into_digests())),
            Err(reason) => Err(ConfigError {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    fn new(bytes: &[u8], files: &mut ConfigFiles<'_>) -> Result<Self, Reason> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Reason::Format("it is not UTF-8 text".into()))?;
        let file = WebConfigFile::parse(text).map_err(Reason::Format)?;
        if file.rate_limit.is_some() {
            return Err(Reason::setting(
                "rate_limit is not supported; remove it (concurrent scrapes are limited without it)",
            ));
        }
        let http = file.http_server_config.unwrap_or_default();
        let tls = file.tls_server_config.unwrap_or_default();
        Ok(Self {
            tls: Tls::new(&tls, http.http2.unwrap_or(true), files)?,
            users: Users::new(file.basic_auth_users.unwrap_or_default())?,
            headers: headers(http.headers.unwrap_or_default())?,
        })
    }

    /// Refuses a change that removes protection: an emptied file would allow everyone.
    pub fn may_become(&self, next: &Self) -> Result<(), Reason> {
        if self.tls.is_some() != next.tls.is_some() {
            return Err(Reason::Restart("switching TLS on or off"));
        }
        if self.users.is_some() && next.users.is_none() {
            return Err(Reason::Restart("removing all basic_auth_users"));
        }
        Ok(())
    }
}

fn headers(named: BTreeMap<String, String>) -> Result<HeaderMap, Reason> {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        let known = ALLOWED_HEADERS.iter().find(|(known, _)| *known == name);
        let (known, values) = known.ok_or_else(|| {
            let all = ALLOWED_HEADERS.map(|(name, _)| name).join(", ");
            Reason::setting(format!(
                "headers: {name:?} cannot be set; supported are {all}"
            ))
        })?;
        // An empty value omits the header.
        if value.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&value.as_str()) {
            return Err(Reason::setting(format!(
                "headers: {known} is {value:?}; write {}",
                values.join(" or ")
            )));
        }
        let wrong = || Reason::setting(format!("headers: {known} has an invalid value"));
        let name = HeaderName::from_bytes(known.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        headers.insert(name, value);
    }
    Ok(headers)
}
