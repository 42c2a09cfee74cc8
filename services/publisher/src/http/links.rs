//! `Link` headers to the next page: the call's own address with one parameter changed.

use axum::http::Uri;

/// The link to the page that `parameter` = `value` asks for. `value` is made of characters that a query holds as they are.
pub(crate) fn next(uri: &Uri, parameter: &str, value: &str) -> String {
    let prefix = format!("{parameter}=");
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with(&prefix));
    let query: Vec<&str> = kept.collect();
    let separator = if query.is_empty() { "" } else { "&" };
    format!("<{}?{}{separator}{prefix}{value}>; rel=\"next\"", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parameter_changes_and_the_others_stay() {
        let link = |uri: &str| next(&uri.parse().unwrap(), "after", "abc");
        assert_eq!(link("/v1/plans/p/events"), "</v1/plans/p/events?after=abc>; rel=\"next\"");
        assert_eq!(
            link("/v1/plans/p/events?after=old&type=a.*&limit=5"),
            "</v1/plans/p/events?type=a.*&limit=5&after=abc>; rel=\"next\""
        );
    }
}
