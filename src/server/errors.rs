//! Refusals, in Glance's words and in the form that `Accept` asks for.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// Why a request gets no ordinary answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An answer with an error status.
    Answer(Box<ApiError>),
    /// Glance fails while it builds the answer: the connection closes without one.
    Drop,
}

/// How the explanation and the detail are put together; the library under Glance has three ways.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Usual,
    Method,
    MediaType,
}

/// An answer with an error status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    explanation: String,
    detail: String,
    shape: Shape,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Answer(Box::new(error))
    }
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, explanation: impl Into<String>) -> Self {
        Self {
            status,
            explanation: explanation.into(),
            detail: String::new(),
            shape: Shape::Usual,
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad_request(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, explanation)
    }

    pub(crate) fn forbidden(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, explanation)
    }

    /// A refusal by policy; the action is named as the policy file names it.
    pub(crate) fn policy(action: &str) -> Self {
        Self::forbidden(format!("You are not authorized to complete {action} action."))
    }

    pub(crate) fn access_denied(detail: impl Into<String>) -> Self {
        Self::forbidden("Access was denied to this resource.").with_detail(detail)
    }

    pub(crate) fn not_found(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, explanation)
    }

    pub(crate) fn no_image(id: &str) -> Self {
        Self::not_found(format!("No image found with ID {id}"))
    }

    /// A path that leads nowhere.
    pub(crate) fn no_resource() -> Self {
        Self::not_found("The resource could not be found.")
    }

    pub(crate) fn conflict(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, explanation)
    }

    pub(crate) fn too_large(explanation: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, explanation)
    }

    pub(crate) fn range(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "The Range requested is not available.").with_detail(detail)
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server has either erred or is incapable of performing the requested operation.",
        )
    }

    /// 405 with the methods that the path knows.
    pub(crate) fn method(method: &str, allow: &'static str) -> Self {
        let explanation = format!("The method {method} is not allowed for this resource. ");
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, explanation);
        error.shape = Shape::Method;
        error.headers.push((header::ALLOW, HeaderValue::from_static(allow)));
        error
    }

    /// 415 for a request's media type; without the header the library shows its own placeholder.
    pub(crate) fn media_type(given: Option<&str>) -> Self {
        let shown = given.unwrap_or("${CONTENT_TYPE}");
        let mut error = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("The request media type {shown} is not supported by this server.\n"),
        );
        error.shape = Shape::MediaType;
        error.with_detail(format!("Invalid content type {}", given.unwrap_or("None")))
    }

    /// 415 for a PATCH in no dialect that the service speaks.
    pub(crate) fn patch_type(given: Option<&str>) -> Self {
        const DIALECTS: &str =
            "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch";
        let mut error = Self::media_type(given);
        error.headers.push((HeaderName::from_static("accept-patch"), HeaderValue::from_static(DIALECTS)));
        error.with_detail(format!("Image PATCH expects Content-Type one of: {DIALECTS}"))
    }

    /// 401, with the place to get a token from.
    pub(crate) fn unauthorized(keystone: &str) -> Self {
        let mut error = Self::new(
            StatusCode::UNAUTHORIZED,
            "This server could not verify that you are authorized to access the document you requested. Either you \
             supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply \
             the credentials required.",
        );
        if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{keystone}\"")) {
            error.headers.push((header::WWW_AUTHENTICATE, value));
        }
        error
    }

    /// The sentence of it.
    pub(crate) fn explanation(&self) -> &str {
        &self.explanation
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The one line that glanceclient makes of it, from the answer as HTML.
    pub(crate) fn as_client_shows(&self) -> String {
        let (code, title) = (self.status.as_u16(), title(self.status));
        format!("HTTP {code} {title}: {}", html_escape(&self.explanation))
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn body(&self, escape: fn(&str) -> String) -> String {
        let (explanation, detail) = (escape(&self.explanation), escape(&self.detail));
        match self.shape {
            Shape::Usual => format!("{explanation}<br /><br />\n{detail}\n\n"),
            Shape::Method | Shape::MediaType => format!("{explanation}<br /><br />\n{detail}"),
        }
    }

    /// The answer in the form that the request's headers ask for.
    pub(crate) fn render(self, request: &HeaderMap) -> Response<Body> {
        let title = title(self.status);
        let code = format!("{} {title}", self.status.as_u16());
        let (kind, text) = match Form::wanted(request) {
            Form::Json => {
                let message = self.body(str::to_owned);
                let body = serde_json::json!({"message": message, "code": code, "title": title});
                ("application/json", body.to_string())
            }
            Form::Html => ("text/html; charset=UTF-8", html_page(&code, &self.body(html_escape))),
            Form::Text => {
                let lines = self.body(str::to_owned).replace("<br />", "");
                ("text/plain; charset=UTF-8", format!("{code}\n\n{}\n\n   ", lines.trim_end()))
            }
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.extend(self.headers);
        response
    }
}

fn html_page(code: &str, body: &str) -> String {
    format!(
        "<html>\n <head>\n  <title>{code}</title>\n </head>\n <body>\n  <h1>{code}</h1>\n  {body}\n </body>\n</html>"
    )
}

fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            other => out.push(other),
        }
    }
    out
}

/// The titles of the library under Glance, which are older than today's standard in two places.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::RANGE_NOT_SATISFIABLE => "Request Range Not Satisfiable",
        other => other.canonical_reason().unwrap_or("Unknown"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

impl Form {
    /// HTML wins over JSON where both are equally welcome; without the header it is text.
    fn wanted(request: &HeaderMap) -> Self {
        let accept = request.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let html = quality(accept, "text", "html");
        let json = quality(accept, "application", "json");
        if html > 0 && html >= json {
            Self::Html
        } else if json > 0 {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// The weight of a media type in thousandths; the most exact entry decides.
fn quality(accept: &str, kind: &str, subtype: &str) -> u32 {
    let mut best = (0, 0);
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let range = parts.next().unwrap_or("").to_ascii_lowercase();
        let exactness = match range.split_once('/') {
            Some((k, s)) if k == kind && s == subtype => 3,
            Some((k, "*")) if k == kind => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        if exactness > best.0 {
            best = (exactness, weight);
        }
    }
    best.1
}

/// `0.5` as 500; what is no weight counts as full.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u32>(), digits.parse::<u32>()) {
        (Ok(whole), Ok(digits)) => whole.saturating_mul(1000).saturating_add(digits),
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Form::wanted(&headers)
    }

    #[test]
    fn the_form_of_an_error_follows_accept() {
        assert_eq!(form("application/json"), Form::Json);
        assert_eq!(form("*/*"), Form::Html);
        assert_eq!(form("text/html"), Form::Html);
        assert_eq!(form("application/json, text/html"), Form::Html);
        assert_eq!(form("application/json, text/html;q=0.5"), Form::Json);
        assert_eq!(form("text/plain"), Form::Text);
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Text);
    }
}
