//! Content negotiation: the media type that a client prefers among those that an endpoint offers (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};
use sealbus_core::error::ErrorKind;

use crate::http::Problem;

/// The weight of a range without `q`, in thousandths.
const FULL_WEIGHT: u16 = 1_000;

/// How exactly a range names a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    /// `*/*`.
    Any,
    /// `type/*`.
    Type,
    /// `type/subtype`.
    Exact,
}

/// Returns the offered media type that the `Accept` headers give the highest weight: of several, the one that they name most
/// exactly, then the first offered. Without `Accept` it is the first offered.
///
/// A range that is malformed is ignored, and so are parameters of a range other than `q`.
///
/// # Errors
/// `not_acceptable` if the client accepts none of them.
pub(crate) fn preferred(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let accepted = headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default());
    let accepted = accepted.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join(",");
    let weight = |media_type: &str| {
        let ranges = split(&accepted, ',').into_iter().filter_map(|range| weight_of(range, media_type));
        // The most exact range decides, also if a wider one has another weight.
        let (precision, weight) = ranges.max_by_key(|(precision, _)| *precision)?;
        (weight > 0).then_some((weight, precision))
    };
    let best = if accepted.is_empty() {
        offered.first()
    } else {
        let acceptable = offered.iter().rev().filter_map(|offer| Some((weight(offer)?, offer)));
        acceptable.max_by_key(|(weight, _)| *weight).map(|(_, offer)| offer)
    };
    best.copied().ok_or_else(|| {
        Problem::new(ErrorKind::NotAcceptable, format!("this answer is available as {}", offered.join(" and as ")))
    })
}

/// Returns the precision and the weight of a media range such as `text/*;q=0.5`, or `None` if it is malformed or does not
/// match the media type.
fn weight_of(range: &str, media_type: &str) -> Option<(Precision, u16)> {
    let mut parts = split(range, ';').into_iter().map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let (offered_kind, offered_subtype) = media_type.split_once('/')?;
    let precision = match (kind, subtype) {
        ("*", "*") => Precision::Any,
        (kind, "*") if kind.eq_ignore_ascii_case(offered_kind) => Precision::Type,
        _ if kind.eq_ignore_ascii_case(offered_kind) && subtype.eq_ignore_ascii_case(offered_subtype) => {
            Precision::Exact
        }
        _ => return None,
    };
    let quality = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")));
    Some((precision, quality.map_or(Some(FULL_WEIGHT), |(_, value)| thousandths(value.trim()))?))
}

/// Parses a weight: `0` to `1` with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = matches!(whole, "0" | "1") && decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    let weight = format!("{whole}{decimals:0<3}").parse().ok()?;
    (is_number && weight <= FULL_WEIGHT).then_some(weight)
}

/// Splits at a separator, except inside a quoted string.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const JSON: &str = "application/json";
    const EVENT: &str = "application/cloudevents+json";

    fn preferred_of(accept: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        preferred(&headers, &[JSON, EVENT]).ok()
    }

    #[test]
    fn the_highest_weight_then_the_most_exact_range_then_the_first_offer_decides() {
        for (accept, expected) in [
            (&[][..], Some(JSON)),
            (&[""], Some(JSON)),
            (&["*/*"], Some(JSON)),
            (&["application/*"], Some(JSON)),
            (&[EVENT], Some(EVENT)),
            (&["Application/CloudEvents+JSON"], Some(EVENT)),
            (&["application/cloudevents+json; charset=utf-8"], Some(EVENT)),
            (&["application/cloudevents+json, application/json"], Some(JSON)),
            (&["application/cloudevents+json, */*"], Some(EVENT)),
            (&["application/cloudevents+json;q=0.5, application/json;q=0.4"], Some(EVENT)),
            (&["application/cloudevents+json;q=0.5, application/json"], Some(JSON)),
            (&["application/cloudevents+json ; Q=0.5 , application/json;q=0.501"], Some(JSON)),
            (&["application/json;q=0, */*"], Some(EVENT)),
            (&["application/*;q=0, application/cloudevents+json;q=0.001"], Some(EVENT)),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], Some(JSON)),
            (&["text/html", "application/cloudevents+json"], Some(EVENT)),
            (&["text/html;a=\"x,application/json,y\", application/cloudevents+json"], Some(EVENT)),
            (&["application/json;a=\"\\\";q=0\", text/html"], Some(JSON)),
            (&["text/html"], None),
            (&["text/*, image/png"], None),
            (&["*/*;q=0"], None),
            (&["application/json;q=0.000, application/cloudevents+json;q=0."], None),
            // Malformed ranges are ignored.
            (&["json"], None),
            (&["*/json"], None),
            (&["application/json;q=2, application/cloudevents+json;q=0.1"], Some(EVENT)),
            (&["application/json;q=0.1234, application/json;q=high, application/json;q=1.001"], None),
            (&["application/json;q=-0, application/json;q=+1, application/json;q="], None),
        ] {
            assert_eq!(preferred_of(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_problem_names_what_is_offered() {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html"))]);
        let problem = preferred(&headers, &[JSON, EVENT]).expect_err("not acceptable");
        assert_eq!(problem.kind(), ErrorKind::NotAcceptable);
        assert!(
            problem.to_json()["detail"].as_str().is_some_and(|detail| detail.contains(JSON) && detail.contains(EVENT))
        );
    }
}
