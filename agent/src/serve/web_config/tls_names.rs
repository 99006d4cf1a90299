//! TLS versions, cipher suites and curves by their Go names.
//!
//! # Invariants
//! An unsupported name is an error that quotes it, never ignored.

use rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{
        SupportedKxGroup,
        ring::{cipher_suite as suite, kx_group},
    },
    version::{TLS12, TLS13},
};

use super::error::Reason;

/// The versions from `least` to `most`, the newest first.
pub fn versions(
    least: Option<&str>,
    most: Option<&str>,
) -> Result<Vec<&'static SupportedProtocolVersion>, Reason> {
    let order = |key: &str, named: &str| match named {
        "TLS12" => Ok(2),
        "TLS13" => Ok(3),
        "TLS10" | "TLS11" => Err(Reason::setting(format!(
            "{key} is {named}, which is broken and not supported; write TLS12 or TLS13"
        ))),
        _ => Err(Reason::setting(format!(
            "{key} is {named:?}, which is not a version; write TLS12 or TLS13"
        ))),
    };
    let least = order("min_version", least.unwrap_or("TLS12"))?;
    let most = order("max_version", most.unwrap_or("TLS13"))?;
    if least > most {
        return Err(Reason::setting(
            "min_version is above max_version; no version is left",
        ));
    }
    let all = [(3, &TLS13), (2, &TLS12)];
    let within = all
        .into_iter()
        .filter(|(order, _)| (least..=most).contains(order));
    Ok(within.map(|(_, version)| version).collect())
}

/// Suites of TLS 1.2; `None` for those of TLS 1.3, which are always offered, as in Go.
const SUITES: [(&str, Option<SupportedCipherSuite>); 9] = [
    ("TLS_AES_128_GCM_SHA256", None),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Some(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Some(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Some(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Some(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Some(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
];

/// The offered suites: all of TLS 1.3, then the named ones of TLS 1.2, in the order given.
pub fn suites(named: &[String]) -> Result<Vec<SupportedCipherSuite>, Reason> {
    let mut offered = vec![
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    for name in named {
        let known = SUITES.iter().find(|(known, _)| known == name);
        let (_, found) = known.ok_or_else(|| {
            let has: Vec<_> = SUITES.iter().map(|(name, _)| *name).collect();
            Reason::setting(format!(
                "cipher_suites names {name:?}, which is not supported; supported are {}",
                has.join(", ")
            ))
        })?;
        offered.extend(*found);
    }
    Ok(offered)
}

/// The key exchange groups, in order of preference.
pub fn curves(named: &[String]) -> Result<Vec<&'static dyn SupportedKxGroup>, Reason> {
    let find = |name: &String| match name.as_str() {
        "X25519" => Ok(kx_group::X25519),
        "CurveP256" => Ok(kx_group::SECP256R1),
        "CurveP384" => Ok(kx_group::SECP384R1),
        _ => Err(Reason::setting(format!(
            "curve_preferences names {name:?}, which is not supported; supported are X25519, CurveP256 and CurveP384"
        ))),
    };
    named.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn versions_by_name() {
        let check = |least, most, expected: &str| {
            let named = match versions(least, most) {
                Ok(versions) => format!(
                    "{:?}",
                    versions
                        .iter()
                        .map(|version| version.version)
                        .collect::<Vec<_>>()
                ),
                Err(reason) => reason.to_string(),
            };
            assert!(named.contains(expected), "{named}");
        };
        check(None, None, "[TLSv1_3, TLSv1_2]");
        check(Some("TLS13"), None, "[TLSv1_3]");
        check(None, Some("TLS12"), "[TLSv1_2]");
        check(Some("TLS12"), Some("TLS12"), "[TLSv1_2]");
        check(Some("TLS13"), Some("TLS12"), "min_version is above");
        check(Some("TLS10"), None, "min_version is TLS10, which is broken");
        check(None, Some("TLS11"), "max_version is TLS11, which is broken");
        check(
            Some("1.2"),
            None,
            "min_version is \"1.2\", which is not a version",
        );
    }

    #[test]
    fn suites_by_name() {
        let names = |named: &[&str]| {
            let named: Vec<_> = named.iter().map(ToString::to_string).collect();
            suites(&named)
        };
        assert_eq!(names(&["TLS_AES_128_GCM_SHA256"]).unwrap().len(), 3);
        let two = [
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ];
        let offered = names(&two).unwrap();
        let offered: Vec<_> = offered[3..]
            .iter()
            .map(|suite| format!("{:?}", suite.suite()))
            .collect();
        assert_eq!(offered, two);
        for wrong in ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "nonsense", ""] {
            let said = names(&[wrong]).unwrap_err().to_string();
            assert!(
                said.contains(&format!("{wrong:?}, which is not supported")),
                "{said}"
            );
        }
    }

    #[test]
    fn curves_by_name() {
        let named = ["CurveP384".to_owned(), "X25519".to_owned()];
        let groups = curves(&named).unwrap();
        let groups: Vec<_> = groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::X25519]);
        let said = curves(&["CurveP521".to_owned()]).unwrap_err().to_string();
        assert!(
            said.contains("\"CurveP521\", which is not supported"),
            "{said}"
        );
    }
}
