//! Uploads from a browser: one form with one file, which cannot be resumed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::header::{ALLOW, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::bytes::{OpenError, StartAt, UploadWriter, VersionDeleted};
use super::{DurableAck, disk_error, find_live, not_found, text};
use crate::api_request::ErrorResponse;
use crate::app_state::AppState;
use crate::body;
use crate::state::{Approach, VersionId, VideoId};

/// The field with the file.
const FIELD: &str = "file_data";

/// Handles any request to a form's address, which needs no token.
pub(crate) async fn serve(
    State(app_state): State<Arc<AppState>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let key = key.map(|Path(key)| key).unwrap_or_default();
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return refused(request.into_body(), response).await;
    }
    let opened = find(&app_state, &key).and_then(|form| Ok((open(&app_state, &form, &key)?, form)));
    let (writer, form) = match opened {
        Ok(opened) => opened,
        Err(refusal) => return refused(request.into_body(), refusal.into_response()).await,
    };
    let Ok(mut multipart) = Multipart::from_request(request, &()).await else {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be multipart/form-data");
    };
    let answered = receive(writer, &mut multipart).await;
    body::drain_form(&mut multipart).await;
    match answered {
        Ok(()) => {
            let mut response = done(form.redirect_url.as_deref(), form.video);
            response.extensions_mut().insert(DurableAck);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn refused(mut sent: Body, response: Response) -> Response {
    body::drain(&mut sent).await;
    response
}

/// The upload of a form's address.
struct Form {
    video: VideoId,
    version: VersionId,
    redirect_url: Option<String>,
}

fn find(app_state: &AppState, key: &str) -> Result<Form, ErrorResponse> {
    let now = app_state.now();
    let vimeo_state = app_state.vimeo();
    let (video, version, upload) = find_live(&vimeo_state, key, now)?;
    match &upload.approach {
        Approach::Post { redirect_url } => Ok(Form { video, version, redirect_url: redirect_url.clone() }),
        _ => Err(not_found(StatusCode::NOT_FOUND).into()),
    }
}

fn open<'a>(app_state: &'a AppState, form: &Form, key: &str) -> Result<UploadWriter<'a>, ErrorResponse> {
    UploadWriter::open(app_state, (form.video, form.version), key, StartAt::Zero).map_err(|closed| {
        match closed {
            OpenError::Deleted => not_found(StatusCode::NOT_FOUND),
            OpenError::Ended => text(StatusCode::CONFLICT, "this form was used already"),
            OpenError::Busy => text(StatusCode::CONFLICT, "this form is being used"),
            OpenError::Disk => disk_error(),
        }
        .into()
    })
}

/// Receives the file in the form. Only a complete one counts, because half a form cannot be resumed.
async fn receive(mut writer: UploadWriter<'_>, multipart: &mut Multipart) -> Result<(), ErrorResponse> {
    loop {
        let field = multipart.next_field().await.map_err(|_| broken())?;
        let Some(mut field) = field else {
            return Err(text(StatusCode::BAD_REQUEST, "the form has no file in a field file_data").into());
        };
        if field.name() != Some(FIELD) {
            continue;
        }
        let name = field.file_name().map(str::to_owned);
        let read = read_file(&mut writer, &mut field).await.and_then(|()| {
            if writer.size.is_some() && writer.remaining() > 0 {
                return Err(text(StatusCode::BAD_REQUEST, "the file is shorter than was announced").into());
            }
            writer.record_complete(name).map_err(|VersionDeleted| deleted())
        });
        if read.is_err() {
            // A deleted version has nothing to rewind.
            let _ = writer.rewind().is_ok_and(|()| writer.record_progress().is_ok());
        }
        return read;
    }
}

async fn read_file(writer: &mut UploadWriter<'_>, field: &mut Field<'_>) -> Result<(), ErrorResponse> {
    let end = writer.deleted();
    loop {
        let chunk = tokio::select! {
            biased;
            () = end.cancelled() => return Err(deleted()),
            chunk = field.chunk() => chunk.map_err(|_| broken())?,
        };
        let Some(data) = chunk else { return Ok(()) };
        if data.len() as u64 > writer.remaining() {
            return Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the file is longer than was announced").into());
        }
        writer.write(&data).map_err(|_| disk_error())?;
        writer.record_progress().map_err(|VersionDeleted| deleted())?;
    }
}

fn deleted() -> ErrorResponse {
    not_found(StatusCode::NOT_FOUND).into()
}

fn broken() -> ErrorResponse {
    text(StatusCode::BAD_REQUEST, "the form is malformed, or was cut short").into()
}

/// Redirects the browser, with the video's URI in the query.
fn done(redirect_url: Option<&str>, video: VideoId) -> Response {
    let Some(url) = redirect_url else { return text(StatusCode::OK, "the upload is complete") };
    let (address, fragment) =
        url.split_once('#').map_or((url, ""), |(address, _)| (address, &url[address.len()..]));
    let joint = match address.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let value: String = form_urlencoded::byte_serialize(video.to_string().as_bytes()).collect();
    match HeaderValue::try_from(format!("{address}{joint}video_uri={value}{fragment}")) {
        Ok(location) => {
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(LOCATION, location);
            response
        }
        // Not a valid header value, so there is no redirect.
        Err(_) => text(StatusCode::OK, "the upload is complete"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_sent_on_with_the_videos_uri_in_the_query() {
        let video = VideoId::parse("7").unwrap();
        for (url, location) in [
            ("https://a.test/done", "https://a.test/done?video_uri=%2Fvideos%2F7"),
            ("https://a.test/done?", "https://a.test/done?video_uri=%2Fvideos%2F7"),
            ("https://a.test/done?x=1", "https://a.test/done?x=1&video_uri=%2Fvideos%2F7"),
            ("https://a.test/done?x=1#top", "https://a.test/done?x=1&video_uri=%2Fvideos%2F7#top"),
        ] {
            let response = done(Some(url), video);
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(response.headers()[LOCATION], location);
        }
        for nowhere in [None, Some("https://a.test/\n")] {
            assert_eq!(done(nowhere, video).status(), StatusCode::OK);
        }
    }
}
