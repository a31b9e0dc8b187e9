//! Request parameters as Go's `FormValue` sees them: a form in the body first, then the query string.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use model::Matcher;
use ql_promql::parser::parse_metric_selector;
use wire_prom::api_params::{self, MAX_TIME_MS, MIN_TIME_MS};

use super::reply::{ApiError, plain_error};

/// The largest form body, as in Go.
const FORM_BYTES_MAX: usize = 10 << 20;

/// Parameters in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// What was wrong with the first pair that was left out.
    mistake: Option<String>,
    /// What is wrong with the first pair that is well escaped but not text. Go keeps such bytes, and every
    /// parser refuses them; leaving the pair out would ask for something else.
    not_text: Option<String>,
}

impl Params {
    #[cfg(test)]
    fn parse_query(query: &str) -> Self {
        let mut params = Self::default();
        params.add(query);
        params
    }

    fn add(&mut self, encoded: &str) {
        for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let mistake = if pair.contains(';') {
                "invalid semicolon separator in query".to_owned()
            } else if let (Some(name), Some(value)) = (decode(name), decode(value)) {
                self.pairs.push((name, value));
                continue;
            } else if let Some(escape) = bad_escape(name).or_else(|| bad_escape(value)) {
                format!("invalid URL escape {escape:?}")
            } else {
                let cause =
                    format!("invalid parameter {:?}: not valid UTF-8", decode(name).unwrap_or_default());
                self.not_text.get_or_insert(cause);
                continue;
            };
            self.mistake.get_or_insert(mistake);
        }
    }

    /// What was wrong with the first pair that was left out, for whatever reason.
    fn problem(self) -> Option<String> {
        self.mistake.or(self.not_text)
    }

    /// Refuses a form of which a pair had to be left out. Only some of upstream's handlers look.
    pub(crate) fn well_formed(&self) -> Result<(), ApiError> {
        match &self.mistake {
            Some(mistake) => Err(ApiError::bad_data(format!("error parsing form values: {mistake}"))),
            None => Ok(()),
        }
    }

    /// The first value, empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        api_params::parse_limit(self.get("limit")).map_err(|e| ApiError::param("limit", e))
    }

    /// A required time.
    pub(crate) fn time(&self, name: &str) -> Result<i64, ApiError> {
        api_params::parse_time_ms(self.get(name)).map_err(|e| ApiError::param(name, e))
    }

    pub(crate) fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        api_params::parse_time_param(name, self.get(name), default_ms).map_err(|e| ApiError::param(name, e))
    }

    /// `start` and `end`, the whole of time where they are missing.
    pub(crate) fn time_range(&self) -> Result<(i64, i64), ApiError> {
        Ok((self.time_or("start", MIN_TIME_MS)?, self.time_or("end", MAX_TIME_MS)?))
    }

    /// The selectors of `match[]`; each needs at least one matcher that does not match everything.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let selectors = self.any_selectors()?;
        if selectors.iter().any(|matchers| matchers.iter().all(Matcher::matches_empty)) {
            return Err("match[] must contain at least one non-empty matcher".to_owned());
        }
        Ok(selectors)
    }

    /// The selectors of `match[]`, whatever they match. A selector without matchers selects nothing, as
    /// in upstream's index.
    pub(crate) fn any_selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        self.all("match[]").map(|text| parse_metric_selector(text).map_err(|e| e.to_string())).collect()
    }
}

/// The pairs of a query string in their order, as Go's `url.ParseQuery`, or what is wrong with it.
pub(crate) fn query_pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let mut params = Params::default();
    params.add(query);
    let pairs = std::mem::take(&mut params.pairs);
    params.problem().map_or(Ok(pairs), Err)
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let query = request.uri().query().unwrap_or("").to_owned();
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let mut params = Self::default();
        if content_type.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            let body = Limited::new(request.into_body(), FORM_BYTES_MAX).collect().await;
            let Ok(body) = body else {
                return Err(plain_error(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large"));
            };
            let bytes = body.to_bytes();
            let Ok(text) = std::str::from_utf8(&bytes) else {
                return Err(ApiError::bad_data("error parsing form values: not UTF-8").into_response());
            };
            params.add(text);
        }
        params.add(&query);
        match params.not_text.take() {
            Some(cause) => Err(ApiError::bad_data(cause).into_response()),
            None => Ok(params),
        }
    }
}

/// Percent-decoding with `+` for a space; `None` for what is not UTF-8 or badly escaped.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// The first `%` that two hexadecimal digits do not follow, with what does.
fn bad_escape(text: &str) -> Option<&str> {
    let is_bad = |at: &usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let at = text.match_indices('%').map(|(at, _)| at).find(is_bad)?;
    let end = text.char_indices().map(|(idx, _)| idx).find(|idx| *idx >= at + 3).unwrap_or(text.len());
    Some(&text[at..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_decode_and_repeat() {
        let params = Params::parse_query("query=sum%28up%29+by&match[]=a&match%5B%5D=b&empty");
        assert_eq!(params.get("query"), "sum(up) by");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((params.get("empty"), params.get("none")), ("", ""));
        assert_eq!(decode("%zz"), None);
        assert_eq!(decode("%ff"), None);
    }

    #[test]
    fn mistakes_in_forms_are_told() {
        for (form, expected) in [
            ("a=b&c", None),
            ("a=%zz&b=1", Some("invalid URL escape \"%zz\"")),
            ("a=1%2&b=1", Some("invalid URL escape \"%2\"")),
            ("%é=1", Some("invalid URL escape \"%é\"")),
            ("a=1;b=2", Some("invalid semicolon separator in query")),
        ] {
            assert_eq!(Params::parse_query(form).mistake.as_deref(), expected, "{form}");
        }
        assert_eq!(Params::parse_query("a=%zz&b=1").get("b"), "1");
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_refused_by_name() {
        for (query, status) in [
            ("match[]=keep&start=%ff", Some(StatusCode::BAD_REQUEST)),
            ("match[]=%ff&match[]=keep", Some(StatusCode::BAD_REQUEST)),
            ("%ff=1", Some(StatusCode::BAD_REQUEST)),
            ("query=%c3%a9", None),
        ] {
            let request =
                Request::builder().uri(format!("/?{query}")).body(axum::body::Body::empty()).unwrap();
            let refusal = Params::from_request(request, &()).await.err().map(|refusal| refusal.status());
            assert_eq!(refusal, status, "{query}");
        }
        let params = Params::parse_query("a=1&start=%ff");
        assert_eq!(params.not_text.as_deref(), Some("invalid parameter \"start\": not valid UTF-8"));
    }
}
