//! What faults leave on uploads: dead links, and ends that are not good.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::Made;
use crate::desk::Desk;
use crate::state::{Failure, VersionId, VideoId};

/// Makes the upload link of this path dead for good, if it is one.
pub(super) fn kill_link(desk: &Desk, path: &str, status: StatusCode) {
    let now = desk.now();
    let key = path.rsplit('/').next().unwrap_or_default();
    let mut world = desk.world();
    let Some((video, version)) = world.find_upload(key) else { return };
    if let Some(version) = world.version_mut(video, version) {
        version.upload.kill_link(status, now);
    }
}

/// Decides how the version ends that a request has made, and leaves its answer as it is.
pub(super) async fn doom(desk: &Desk, response: Response, fate: &Failure) -> Response {
    let (response, made) = match response.extensions().get::<Made>() {
        Some(Made(video, version)) => {
            let made = (*video, *version);
            (response, Some(made))
        }
        None if response.status().is_success() => {
            let (parts, body) = response.into_parts();
            let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let made = told_of(desk, &whole);
            (Response::from_parts(parts, Body::from(whole)), made)
        }
        None => (response, None),
    };
    let now = desk.now();
    if let Some((video, version)) = made
        && let Some(version) = desk.world().version_mut(video, version)
    {
        version.upload.doom(fate.clone(), now);
    }
    response
}

/// The version that an answer speaks of: `/videos/N/versions/M`, or the one of `/videos/N` that is played.
fn told_of(desk: &Desk, answer: &Bytes) -> Option<(VideoId, VersionId)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut segments = answer.get("uri")?.as_str()?.strip_prefix("/videos/")?.split('/');
    let video = VideoId::parse(segments.next()?.split(':').next()?)?;
    match segments.next() {
        Some("versions") => Some((video, VersionId::parse(segments.next()?)?)),
        Some(_) => None,
        None => Some((video, desk.world().find_video(video)?.active)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::Options;
    use crate::ambient::system_random;
    use crate::desk::Custody;
    use crate::errors;
    use crate::saved::Saved;
    use crate::state::{Approach, NewVersion, NewVideo, Settings, World};

    fn desk() -> (Desk, VideoId) {
        let world = World::first(system_random(), Vec::new());
        let desk = Desk::new(
            &Options { clock: std::sync::Arc::new(|| Timestamp::UNIX_EPOCH), ..Options::default() },
            String::new(),
            Custody { saver: None, keeper: None },
            Saved { first_world: world.clone(), world },
        );
        let app = desk.world().list_apps().next().unwrap().clone();
        let version =
            NewVersion { file_name: None, approach: Approach::Tus, size: Some(5), link_expires_at: None };
        let new =
            NewVideo { owner: app.owner, app: app.id, settings: Settings::default(), folder: None, version };
        let id = desk.world().add_video(new, Timestamp::UNIX_EPOCH).id;
        (desk, id)
    }

    fn active(desk: &Desk, id: VideoId) -> crate::state::Upload {
        desk.world().find_video(id).unwrap().active_version().unwrap().upload.clone()
    }

    #[test]
    fn a_killed_link_is_dead_for_good_with_its_status() {
        let (desk, id) = desk();
        let key = active(&desk, id).key;
        assert_eq!(active(&desk, id).dead_status(Timestamp::MAX), None);
        kill_link(&desk, "/files/vimeo/nonsense", StatusCode::GONE);
        assert_eq!(active(&desk, id).dead_status(Timestamp::MAX), None);
        kill_link(&desk, &format!("/files/vimeo/{key}"), StatusCode::GONE);
        assert_eq!(active(&desk, id).dead_status(desk.now()), Some(StatusCode::GONE));
    }

    #[tokio::test]
    async fn what_an_answer_says_was_made_is_doomed_and_a_refusal_makes_nothing() {
        let (desk, id) = desk();
        let fate = Failure { status: "transcoding_error".to_owned(), error: None };
        let speak_of = |status| errors::answer(status, "application/json", &json!({"uri": id.to_string()}));
        doom(&desk, speak_of(StatusCode::BAD_REQUEST), &fate).await;
        assert_eq!(active(&desk, id).fate, None);
        let response = doom(&desk, speak_of(StatusCode::OK), &fate).await;
        assert_eq!(active(&desk, id).fate, Some(fate));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, json!({"uri": id.to_string()}).to_string());
    }

    #[tokio::test]
    async fn what_a_handler_says_it_made_is_doomed() {
        let (desk, id) = desk();
        let version = desk.world().find_video(id).unwrap().active;
        let fate = Failure::of_upload("internal");
        let mut response = errors::answer(StatusCode::OK, "application/json", &Value::Null);
        response.extensions_mut().insert(Made(id, version));
        doom(&desk, response, &fate).await;
        assert_eq!(active(&desk, id).fate, Some(fate));
    }
}
