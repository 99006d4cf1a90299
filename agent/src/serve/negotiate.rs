//! Content negotiation: format and encoding, from the Accept headers (RFC 9110, 12.5).
//!
//! # Invariants
//! A client that accepts no offered format gets plain text, as from other exporters.

use std::cmp::Reverse;

use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderName},
};

use halfopen_core::metrics::Format;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// None.
    Identity,
    /// gzip.
    Gzip,
}

/// One element of a header such as `text/plain;version=0.0.4;q=0.3`.
struct AcceptItem<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// From 0 (not acceptable) to 1.
    quality: f32,
}

/// The items of a header, in order, without malformed ones.
fn items(headers: &HeaderMap, name: HeaderName) -> Vec<AcceptItem<'_>> {
    let values = headers.get_all(name).into_iter();
    let text = values.filter_map(|value| value.to_str().ok());
    text.flat_map(|text| text.split(','))
        .filter_map(item)
        .collect()
}

fn item(element: &str) -> Option<AcceptItem<'_>> {
    let mut parts = element.split(';').map(str::trim);
    let value = parts.next().filter(|value| !value.is_empty())?;
    let mut item = AcceptItem {
        value,
        parameters: Vec::new(),
        quality: 1.0,
    };
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("q") {
            let quality = value.parse().ok();
            item.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
        } else {
            item.parameters.push((name, value));
        }
    }
    Some(item)
}

/// The offered formats, the default first.
const OFFERS: [(Format, &str, &str); 2] = [
    (Format::Text, "text/plain", "0.0.4"),
    (Format::OpenMetrics, "application/openmetrics-text", "1.0.0"),
];

/// The format that the client prefers. At equal quality it is the one named more specifically, then the
/// one named first, then plain text.
#[must_use]
pub fn format(headers: &HeaderMap) -> Format {
    let items = items(headers, ACCEPT);
    let acceptable = OFFERS.iter().filter_map(|(format, media, version)| {
        let items = items.iter().enumerate();
        let matching = items.filter_map(|(place, item)| {
            Some((
                specificity(item, media, version)?,
                Reverse(place),
                item.quality,
            ))
        });
        // The most specific item decides for a format, wherever it stands.
        let (specificity, place, quality) = matching.max_by_key(|item| (item.0, item.1))?;
        (quality > 0.0).then_some((*format, quality, (specificity, place)))
    });
    // `max_by` takes the last of equals, which must be the default.
    let best = acceptable.rev().max_by(|one, other| {
        let by_quality = one.1.total_cmp(&other.1);
        by_quality.then_with(|| one.2.cmp(&other.2))
    });
    best.map_or(Format::Text, |(format, ..)| format)
}

/// How specifically an item names this type, if it matches.
fn specificity(item: &AcceptItem<'_>, media: &str, version: &str) -> Option<usize> {
    let of_type = media.split_once('/').map_or(media, |(of_type, _)| of_type);
    let range = item.value;
    let specificity = if range == "*/*" {
        0
    } else if let Some(wanted) = range.strip_suffix("/*") {
        wanted.eq_ignore_ascii_case(of_type).then_some(1)?
    } else {
        range.eq_ignore_ascii_case(media).then_some(2)?
    };
    let mut named = 0;
    for (name, value) in &item.parameters {
        let fits = match name.to_ascii_lowercase().as_str() {
            "version" => *value == version,
            "charset" => value.eq_ignore_ascii_case("utf-8"),
            // Such as `escaping`: no scheme changes the names of these metrics.
            _ => continue,
        };
        if !fits {
            return None;
        }
        named += 1;
    }
    Some(specificity + named)
}

/// The encoding that the client prefers; gzip only if it names it.
#[must_use]
pub fn encoding(headers: &HeaderMap) -> Encoding {
    let items = items(headers, ACCEPT_ENCODING);
    let quality = |names: &[&str]| {
        let named = |item: &&AcceptItem<'_>| {
            names
                .iter()
                .any(|name| item.value.eq_ignore_ascii_case(name))
        };
        items.iter().find(named).map(|item| item.quality)
    };
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"]));
    let gzip = gzip.unwrap_or(0.0);
    // Unnamed, it is acceptable, but not preferred.
    let identity = quality(&["identity"]).unwrap_or(0.0);
    if gzip > 0.0 && gzip >= identity {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn formats() {
        let check = |accept: &[&str], expected| {
            assert_eq!(format(&headers(ACCEPT, accept)), expected, "{accept:?}");
        };
        let (text, open) = (Format::Text, Format::OpenMetrics);
        check(&[], text);
        check(&[""], text);
        check(&["*/*"], text);
        check(&["text/plain"], text);
        check(&["text/*"], text);
        check(&["application/*"], open);
        check(&["application/openmetrics-text"], open);
        check(
            &["Application/OpenMetrics-Text; Version=1.0.0; Charset=UTF-8"],
            open,
        );
        check(&[r#"application/openmetrics-text;version="1.0.0""#], open);
        // Prometheus 2.42, then 3, then 3 with protobuf, as they send it.
        check(
            &[
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ],
            open,
        );
        check(
            &[
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            ],
            open,
        );
        check(
            &[
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ],
            open,
        );
        // With scrape_protocols: [PrometheusText0.0.4].
        check(&["text/plain;version=0.0.4;q=0.5,*/*;q=0.4"], text);
        check(
            &["text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5"],
            text,
        );
        check(
            &["text/plain;q=0.3", "application/openmetrics-text;q=0.4"],
            open,
        );
        check(
            &["text/plain;q=0.4", "application/openmetrics-text;q=0.3"],
            text,
        );
        // A browser.
        check(
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            text,
        );
        // Equal quality: the one named, then the one named first.
        check(&["application/openmetrics-text, */*"], open);
        check(&["*/*, application/openmetrics-text"], open);
        check(&["text/plain, application/openmetrics-text"], text);
        check(&["application/openmetrics-text, text/plain"], open);
        // A wildcard does not apply to a type that is named.
        check(&["application/openmetrics-text;q=0, */*"], text);
        check(&["text/plain;q=0.1, */*;q=0.9"], open);
        check(&["text/plain;q=0, */*;q=0.9"], open);
        // Neither: plain text, as from other exporters.
        check(&["application/vnd.google.protobuf"], text);
        check(&["application/openmetrics-text;version=0.0.1"], text);
        check(&["application/openmetrics-text;version=2.0.0"], text);
        check(&["application/openmetrics-text;charset=latin1"], text);
        check(&["text/plain;q=0"], text);
        check(&["*/*;q=0"], text);
        // Malformed.
        for q in ["2", "-1", "x", "", "nan", "inf"] {
            check(&[&format!("application/openmetrics-text;q={q}")], text);
        }
        check(&["application/openmetrics-text;q"], text);
        check(
            &[";;;,,,=,;q=1, application/openmetrics-text ;; q=1 "],
            open,
        );
        check(&["openmetrics"], text);
    }

    #[test]
    fn encodings() {
        let check = |accept: &[&str], expected| {
            let headers = headers(ACCEPT_ENCODING, accept);
            assert_eq!(encoding(&headers), expected, "{accept:?}");
        };
        let (plain, gzip) = (Encoding::Identity, Encoding::Gzip);
        check(&[], plain);
        check(&[""], plain);
        check(&["gzip"], gzip);
        check(&["GZIP"], gzip);
        check(&["x-gzip"], gzip);
        check(&["*"], gzip);
        check(&["gzip, deflate, br, zstd"], gzip);
        check(&["br", "gzip;q=0.5"], gzip);
        check(&["deflate, br"], plain);
        check(&["gzip;q=0"], plain);
        check(&["gzip;q=0, *"], plain);
        check(&["*;q=0"], plain);
        check(&["gzip;q=0.000"], plain);
        check(&["gzip;q=0.001"], gzip);
        check(&["identity"], plain);
        check(&["identity, gzip;q=0.5"], plain);
        check(&["identity;q=0.5, gzip"], gzip);
        check(&["identity;q=0, gzip;q=0.1"], gzip);
        check(&["identity, gzip"], gzip);
        // No other encoding is acceptable either.
        check(&["identity;q=0"], plain);
        check(&["gzip;q=2"], plain);
        check(&["gzipped"], plain);
    }
}
