//! Error responses in Vimeo's four formats, and those that several routes return.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::state::Feature;

const ERROR: &str = "application/vnd.vimeo.error+json";
/// The header that repeats the error code.
pub(crate) const ERROR_CODE: HeaderName = HeaderName::from_static("vimeo-error-code");

const PLAIN_JSON: &str = "application/json";
const STRANGE: &str = "Something strange occurred. Please contact the app owners.";

/// A JSON response of the given media type.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An error in the full format. `error` is for the app's user, `developer_message` for its developer.
pub(crate) fn full(status: StatusCode, code: u32, error: &str, developer_message: &str) -> Response {
    let body =
        json!({"error": error, "link": null, "developer_message": developer_message, "error_code": code});
    challenged(coded(status, code, &body))
}

/// An error with a code, which is repeated in a header: Vimeo's own mobile libraries read it from there.
fn coded(status: StatusCode, code: u32, body: &Value) -> Response {
    let mut response = answer(status, ERROR, body);
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from(code));
    response
}

/// An error in the legacy format of older endpoints: one sentence.
pub(crate) fn legacy(status: StatusCode, error: &str) -> Response {
    challenged(answer(status, ERROR, &json!({"error": error})))
}

/// An error of a token endpoint, in the format of RFC 6749.
pub(crate) fn oauth(status: StatusCode, error: &str, description: &str) -> Response {
    let body = json!({"error": error, "error_description": description});
    uncached(answer(status, PLAIN_JSON, &body))
}

/// A successful response of a token endpoint.
pub(crate) fn granted(body: &Value) -> Response {
    uncached(answer(StatusCode::OK, PLAIN_JSON, body))
}

pub(crate) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn challenged(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// No token, or an unknown or revoked one.
pub(crate) fn no_credentials() -> Response {
    full(StatusCode::UNAUTHORIZED, 8003, STRANGE, "The app didn't receive the user's credentials.")
}

/// An app's token where a user's is needed.
pub(crate) fn no_user() -> Response {
    full(StatusCode::UNAUTHORIZED, 8002, STRANGE, "The authentication token is missing a user ID.")
}

/// The same for an upload, as captured from Vimeo.
pub(crate) fn no_user_to_upload() -> Response {
    let text = "Unable to upload video. Please get in touch with the app's creator.";
    let message =
        "The authentication token is missing a user ID and must be provided when uploading a video.";
    full(StatusCode::UNAUTHORIZED, 8002, text, message)
}

/// No valid token, at the endpoints of folders.
pub(crate) fn bad_credentials() -> Response {
    full(StatusCode::UNAUTHORIZED, 8000, STRANGE, "The user credentials are invalid.")
}

/// A visible resource of another user.
pub(crate) fn not_owned() -> Response {
    legacy(StatusCode::FORBIDDEN, "You do not have permission to access that resource.")
}

/// A view that the user's plan does not include.
pub(crate) fn plan_forbids_view(code: u32, view: &str) -> Response {
    let message = format!("The user's plan does not allow privacy.view to be {view}.");
    full(StatusCode::FORBIDDEN, code, "This privacy setting is not available on your plan.", &message)
}

/// A part of a publication that the user's plan lacks.
pub(crate) fn plan_lacks(feature: Feature) -> Response {
    let text = "The user's plan does not let them replace the file of a video.";
    match feature {
        Feature::Versions => full(StatusCode::FORBIDDEN, 3427, text, text),
        _ => legacy(StatusCode::FORBIDDEN, &format!("The user's plan does not include {}.", feature.name())),
    }
}

/// An upload request in the form of an older API version.
pub(crate) fn old_version(message: &str) -> Response {
    full(StatusCode::BAD_REQUEST, 3116, STRANGE, message)
}

/// An unknown approach. The code is given twice: older sources show it at the top level, newer ones in the list.
pub(crate) fn bad_approach() -> Response {
    let text = "Invalid upload approach.";
    let message = "The parameter upload.approach must be tus, pull or post.";
    let body = json!({
        "error": text,
        "link": null,
        "developer_message": message,
        "error_code": 2230,
        "invalid_parameters": [
            {"field": "upload.approach", "error_code": 2230, "error": text, "developer_message": message},
        ],
    });
    coded(StatusCode::BAD_REQUEST, 2230, &body)
}

/// A missing scope. The format is the legacy one, as captured from Vimeo.
pub(crate) fn missing_scope(scope: &str) -> Response {
    legacy(StatusCode::FORBIDDEN, &format!("Your access token does not have the \"{scope}\" scope"))
}

/// A body that is longer than the limit, or was cut off.
pub(crate) fn body_too_long() -> Response {
    malformed_body("The request body is longer than 1 MiB, or it was cut short.")
}

/// A malformed body.
pub(crate) fn malformed_body(message: &str) -> Response {
    full(StatusCode::BAD_REQUEST, 2205, "The request body is malformed.", message)
}

/// A body that is not JSON.
pub(crate) fn not_json() -> Response {
    full(StatusCode::BAD_REQUEST, 2700, "The request body is malformed.", "The body isn't valid JSON.")
}

/// A resource that does not exist or is not visible to this caller.
pub(crate) fn missing_resource() -> Response {
    let text = "The specified resource doesn't exist.";
    full(StatusCode::NOT_FOUND, 5000, text, text)
}

/// The same for a folder.
pub(crate) fn missing_folder() -> Response {
    let text = "The requested folder couldn't be found.";
    full(StatusCode::NOT_FOUND, 5000, text, text)
}

/// One invalid member of a body.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// The path of the member, separated by dots.
    pub(crate) field: String,
    pub(crate) code: u32,
    pub(crate) message: String,
}

impl Invalid {
    /// `what` completes the sentence that begins with the parameter's name.
    pub(crate) fn new(field: &str, code: u32, what: &str) -> Self {
        Self { field: field.to_owned(), code, message: format!("The parameter {field} {what}.") }
    }
}

/// A body with invalid members, all of which are named.
pub(crate) fn invalid(parameters: &[Invalid]) -> Response {
    let text = "You have provided an invalid parameter. Please contact developer of this application.";
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|Invalid { field, code, message }| {
            json!({"field": field, "error_code": code, "error": message, "developer_message": message})
        })
        .collect();
    let body = json!({
        "error": text,
        "link": null,
        "developer_message": "The parameters passed to this API endpoint did not pass Vimeo's validation. \
                              Please check the invalid_parameters list for more information",
        "error_code": 2204,
        "invalid_parameters": parameters,
    });
    coded(StatusCode::BAD_REQUEST, 2204, &body)
}

/// A successful response without a body.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An unknown path.
pub(crate) async fn not_found() -> Response {
    let message = "This address is unknown to the sandbox; its README lists what it covers.";
    full(StatusCode::NOT_FOUND, 5000, "The requested page couldn't be found.", message)
}

/// A known path with an unsupported method.
pub(crate) async fn method_not_allowed() -> Response {
    // In the legacy format, because no error code is known for this.
    legacy(StatusCode::METHOD_NOT_ALLOWED, "The requested method is not supported at this address.")
}

/// The Accept header names a malformed Vimeo media type.
pub(crate) fn bad_accept() -> Response {
    let message = "The Accept header must look like application/vnd.vimeo.*+json;version=3.4.";
    full(StatusCode::BAD_REQUEST, 2206, STRANGE, message)
}

/// The rate limit is reached.
pub(crate) fn too_many_requests() -> Response {
    let message = "The rate limit is reached; X-RateLimit-Reset says when the next window begins.";
    full(StatusCode::TOO_MANY_REQUESTS, 9000, "Too many API requests. Please try again later.", message)
}

/// The text of a fault's response with a status and nothing else.
pub(crate) const FAULT_TEXT: &str = "A fault of the sandbox set this status.";

/// The response of a fault with a status and nothing else. Where Vimeo has several codes for a status, or no known one,
/// the response has no code.
pub(crate) fn of_status(status: StatusCode) -> Response {
    let code = match status.as_u16() {
        401 => 8003,
        404 => 5000,
        429 => 9000,
        500 => 4003,
        503 => 7000,
        _ => return legacy(status, FAULT_TEXT),
    };
    with_code(status, code)
}

/// The response of a fault with an error code.
pub(crate) fn with_code(status: StatusCode, code: u32) -> Response {
    full(status, code, STRANGE, FAULT_TEXT)
}
