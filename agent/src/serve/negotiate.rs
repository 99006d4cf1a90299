//! What a client would have: the format and the encoding, by its Accept headers (RFC 9110, 12.5).
//! It must never leave a client without an answer: one that would have neither gets plain text.

use std::cmp::Reverse;

use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderName},
};

use halfopen_core::metrics::Format;

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// With gzip.
    Gzip,
}

/// One element of a header such as `text/plain;version=0.0.4;q=0.3`.
struct Wish<'a> {
    what: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// From 0, which refuses, to 1.
    quality: f32,
}

/// The wishes of a header, in order; what is malformed is no wish.
fn wishes(headers: &HeaderMap, name: HeaderName) -> Vec<Wish<'_>> {
    let values = headers.get_all(name).into_iter();
    let text = values.filter_map(|value| value.to_str().ok());
    text.flat_map(|text| text.split(','))
        .filter_map(wish)
        .collect()
}

fn wish(element: &str) -> Option<Wish<'_>> {
    let mut parts = element.split(';').map(str::trim);
    let what = parts.next().filter(|what| !what.is_empty())?;
    let mut wish = Wish {
        what,
        parameters: Vec::new(),
        quality: 1.0,
    };
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("q") {
            let quality = value.parse().ok();
            wish.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
        } else {
            wish.parameters.push((name, value));
        }
    }
    Some(wish)
}

/// What is offered, the default first.
const OFFERS: [(Format, &str, &str); 2] = [
    (Format::Text, "text/plain", "0.0.4"),
    (Format::OpenMetrics, "application/openmetrics-text", "1.0.0"),
];

/// The format that the client likes best. Where it likes both the same, it is the one it names more
/// precisely, then the one it names first, then plain text.
#[must_use]
pub fn format(headers: &HeaderMap) -> Format {
    let wishes = wishes(headers, ACCEPT);
    let liked = OFFERS.iter().filter_map(|(format, media, version)| {
        let wishes = wishes.iter().enumerate();
        let matching = wishes.filter_map(|(place, wish)| {
            Some((
                precision(wish, media, version)?,
                Reverse(place),
                wish.quality,
            ))
        });
        // The most precise wish counts for a format, wherever it stands.
        let (precision, place, quality) = matching.max_by_key(|wish| (wish.0, wish.1))?;
        (quality > 0.0).then_some((*format, quality, (precision, place)))
    });
    // Of equals the last is taken, which must be the default.
    let best = liked.rev().max_by(|one, other| {
        let by_quality = one.1.total_cmp(&other.1);
        by_quality.then_with(|| one.2.cmp(&other.2))
    });
    best.map_or(Format::Text, |(format, ..)| format)
}

/// How precisely a wish names this type, if it does.
fn precision(wish: &Wish<'_>, media: &str, version: &str) -> Option<usize> {
    let of_type = media.split_once('/').map_or(media, |(of_type, _)| of_type);
    let range = wish.what;
    let precision = if range == "*/*" {
        0
    } else if let Some(wanted) = range.strip_suffix("/*") {
        wanted.eq_ignore_ascii_case(of_type).then_some(1)?
    } else {
        range.eq_ignore_ascii_case(media).then_some(2)?
    };
    let mut named = 0;
    for (name, value) in &wish.parameters {
        let fits = match name.to_ascii_lowercase().as_str() {
            "version" => *value == version,
            "charset" => value.eq_ignore_ascii_case("utf-8"),
            // Such as `escaping`: every name here is one that no scheme changes.
            _ => continue,
        };
        if !fits {
            return None;
        }
        named += 1;
    }
    Some(precision + named)
}

/// The encoding that the client likes best; gzip only where it says so.
#[must_use]
pub fn encoding(headers: &HeaderMap) -> Encoding {
    let wishes = wishes(headers, ACCEPT_ENCODING);
    let quality = |names: &[&str]| {
        let named = |wish: &&Wish<'_>| {
            names
                .iter()
                .any(|name| wish.what.eq_ignore_ascii_case(name))
        };
        wishes.iter().find(named).map(|wish| wish.quality)
    };
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"]));
    let gzip = gzip.unwrap_or(0.0);
    // Not named, it may be sent, but is not asked for.
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
        // Equally liked: what is named, then what is named first.
        check(&["application/openmetrics-text, */*"], open);
        check(&["*/*, application/openmetrics-text"], open);
        check(&["text/plain, application/openmetrics-text"], text);
        check(&["application/openmetrics-text, text/plain"], open);
        // What is named is not judged by what is not.
        check(&["application/openmetrics-text;q=0, */*"], text);
        check(&["text/plain;q=0.1, */*;q=0.9"], open);
        check(&["text/plain;q=0, */*;q=0.9"], open);
        // Neither: plain text, as other exporters have it.
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
        // Nothing else is left to send.
        check(&["identity;q=0"], plain);
        check(&["gzip;q=2"], plain);
        check(&["gzipped"], plain);
    }
}
