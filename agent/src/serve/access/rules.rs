//! A web configuration, understood: what handshakes are made with, who may come in, what is added to
//! answers.
//! It must never come into being by halves: every file is read and every setting checked.

use std::{collections::BTreeMap, path::Path};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use super::{
    error::{ConfigError, Reason},
    files::{Files, State},
    form::Form,
    tls::Tls,
    users::Users,
};

/// Headers that can be added to answers, and the values that they can have; none for any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// All that a web configuration asks for. By default, nothing.
#[derive(Debug, Default)]
pub struct Rules {
    /// How to make handshakes; `None` for none.
    pub tls: Option<Tls>,
    /// Who may come in; `None` for everybody.
    pub users: Option<Users>,
    /// What is added to every answer.
    pub headers: HeaderMap,
}

impl Rules {
    /// Reads the file and all that it names; with what they held.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting is wrong or cannot be met.
    pub fn load(path: &Path) -> Result<(Self, State), ConfigError> {
        // Relative paths begin where the configuration is.
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        let mut files = Files::new(folder);
        let rules = files
            .read(&name.to_string_lossy(), "it")
            .and_then(|bytes| Self::new(&bytes, &mut files));
        match rules {
            Ok(rules) => Ok((rules, files.into_state())),
            Err(reason) => Err(ConfigError {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    fn new(bytes: &[u8], files: &mut Files<'_>) -> Result<Self, Reason> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Reason::Form("it is not text in UTF-8".into()))?;
        let form = Form::parse(text).map_err(Reason::Form)?;
        if form.rate_limit.is_some() {
            return Err(Reason::setting(
                "rate_limit is not offered; leave it out (concurrent scrapes are limited without it)",
            ));
        }
        let http = form.http_server_config.unwrap_or_default();
        let tls = form.tls_server_config.unwrap_or_default();
        Ok(Self {
            tls: Tls::new(&tls, http.http2.unwrap_or(true), files)?,
            users: Users::new(form.basic_auth_users.unwrap_or_default())?,
            headers: headers(http.headers.unwrap_or_default())?,
        })
    }

    /// What a change must not take away: an emptied file would open the door.
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
        let known = HEADERS.iter().find(|(known, _)| *known == name);
        let (known, values) = known.ok_or_else(|| {
            let all = HEADERS.map(|(name, _)| name).join(", ");
            Reason::setting(format!("headers: {name:?} cannot be set; there are {all}"))
        })?;
        // Blank leaves it out.
        if value.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&value.as_str()) {
            return Err(Reason::setting(format!(
                "headers: {known} is {value:?}; write {}",
                values.join(" or ")
            )));
        }
        let wrong = || Reason::setting(format!("headers: {known} holds what no header can"));
        let name = HeaderName::from_bytes(known.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        headers.insert(name, value);
    }
    Ok(headers)
}
