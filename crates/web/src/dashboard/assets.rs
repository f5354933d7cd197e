//! The style sheet, the scripts and the icon, compiled into the program. A path has a hash of the content, so that browsers can
//! cache it for ever.

use std::hash::Hasher as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use rustc_hash::FxHasher;

use super::views::shell::Assets;

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file: its name before and after the hash, its media type and its content.
struct File {
    name: String,
    media_type: &'static str,
    content: &'static [u8],
}

static FILES: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        file("dashboard", ".css", CSS, include_bytes!("../../assets/dashboard/dashboard.css")),
        file("dashboard", ".js", JAVASCRIPT, include_bytes!("../../assets/dashboard/dashboard.js")),
        file("htmx", ".js", JAVASCRIPT, include_bytes!("../../assets/dashboard/htmx.min.js")),
        file("tus", ".js", JAVASCRIPT, include_bytes!("../../assets/dashboard/tus.min.js")),
        file("favicon", ".svg", "image/svg+xml", include_bytes!("../../assets/dashboard/favicon.svg")),
    ]
});

fn file(stem: &str, extension: &str, media_type: &'static str, content: &'static [u8]) -> File {
    let mut hasher = FxHasher::default();
    hasher.write(content);
    File { name: format!("{stem}-{:016x}{extension}", hasher.finish()), media_type, content }
}

/// The paths that pages refer to.
pub(super) fn paths() -> Assets {
    let [css, js, htmx, tus, icon] = &*FILES;
    let path = |file: &File| format!("/dashboard/assets/{}", file.name);
    Assets { css: path(css), js: path(js), htmx: path(htmx), tus: path(tus), icon: path(icon) }
}

/// A file by its name.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = file.content.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    response.headers_mut().insert(CACHE_CONTROL, FOREVER);
    response
}
