//! Uploads as a browser sends them: one form with one file, which cannot be resumed.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::header::{ALLOW, LOCATION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::bytes::{Closed, From, Gone, Inlet};
use super::{Promise, disk_trouble, find_live, not_found, text};
use crate::ask::Refusal;
use crate::body;
use crate::desk::Desk;
use crate::state::{Approach, VersionId, VideoId};

/// The field that has the file.
const FIELD: &str = "file_data";

/// Any request to a form's address. Its sender needs no token.
pub(crate) async fn serve(
    State(desk): State<Arc<Desk>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let key = key.map(|Path(key)| key).unwrap_or_default();
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return refused(request.into_body(), response).await;
    }
    let taken = find(&desk, &key).and_then(|form| Ok((take(&desk, &form, &key)?, form)));
    let (inlet, form) = match taken {
        Ok(taken) => taken,
        Err(refusal) => return refused(request.into_body(), refusal.into_response()).await,
    };
    let Ok(mut multipart) = Multipart::from_request(request, &()).await else {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be multipart/form-data");
    };
    let answered = receive(inlet, &mut multipart).await;
    body::drain_form(&mut multipart).await;
    match answered {
        Ok(()) => {
            let mut response = done(form.redirect_url.as_deref(), form.video);
            response.extensions_mut().insert(Promise);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn refused(mut sent: Body, response: Response) -> Response {
    body::drain(&mut sent).await;
    response
}

/// A form that an address leads to.
struct Form {
    video: VideoId,
    version: VersionId,
    redirect_url: Option<String>,
}

fn find(desk: &Desk, key: &str) -> Result<Form, Refusal> {
    let now = desk.now();
    let world = desk.world();
    let (video, version, upload) = find_live(&world, key, now)?;
    match &upload.approach {
        Approach::Post { redirect_url } => Ok(Form { video, version, redirect_url: redirect_url.clone() }),
        _ => Err(not_found(StatusCode::NOT_FOUND).into()),
    }
}

fn take<'a>(desk: &'a Desk, form: &Form, key: &str) -> Result<Inlet<'a>, Refusal> {
    Inlet::open(desk, (form.video, form.version), key, From::Zero).map_err(|closed| {
        match closed {
            Closed::Gone => not_found(StatusCode::NOT_FOUND),
            Closed::Over => text(StatusCode::CONFLICT, "this form was used already"),
            Closed::Busy => text(StatusCode::CONFLICT, "this form is being used"),
            Closed::Disk => disk_trouble(),
        }
        .into()
    })
}

/// Takes the file out of the form. Only a whole one counts, because nobody can send the rest of half a form.
async fn receive(mut inlet: Inlet<'_>, multipart: &mut Multipart) -> Result<(), Refusal> {
    loop {
        let field = multipart.next_field().await.map_err(|_| broken())?;
        let Some(mut field) = field else {
            return Err(text(StatusCode::BAD_REQUEST, "the form has no file in a field file_data").into());
        };
        if field.name() != Some(FIELD) {
            continue;
        }
        let name = field.file_name().map(str::to_owned);
        let read = read_file(&mut inlet, &mut field).await.and_then(|()| {
            if inlet.size.is_some() && inlet.room() > 0 {
                return Err(text(StatusCode::BAD_REQUEST, "the file is shorter than was announced").into());
            }
            inlet.book_whole(name).map_err(|Gone| gone())
        });
        if read.is_err() {
            // Should the version be gone, there is nothing to take back.
            let _ = inlet.rewind().is_ok_and(|()| inlet.book_progress().is_ok());
        }
        return read;
    }
}

async fn read_file(inlet: &mut Inlet<'_>, field: &mut Field<'_>) -> Result<(), Refusal> {
    let end = inlet.gone();
    loop {
        let chunk = tokio::select! {
            biased;
            () = end.cancelled() => return Err(gone()),
            chunk = field.chunk() => chunk.map_err(|_| broken())?,
        };
        let Some(data) = chunk else { return Ok(()) };
        if data.len() as u64 > inlet.room() {
            return Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the file is longer than was announced").into());
        }
        inlet.take(&data).map_err(|_| disk_trouble())?;
        inlet.book_progress().map_err(|Gone| gone())?;
    }
}

fn gone() -> Refusal {
    not_found(StatusCode::NOT_FOUND).into()
}

fn broken() -> Refusal {
    text(StatusCode::BAD_REQUEST, "the form is malformed, or was cut short").into()
}

/// Sends the browser on, with the video's URI in the query.
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
        // Nothing that can stand in a header, so nobody can be sent there.
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
