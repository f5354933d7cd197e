//! Lasting effects of faults on uploads: expired links and scheduled failures.

use axum::http::StatusCode;
use axum::response::Response;

use super::CreatedVersion;
use crate::app_state::AppState;
use crate::state::{Failure, LinkTarget};

/// Expires the upload link of this path, if it is one.
pub(super) fn kill_link(app_state: &AppState, path: &str, status: StatusCode) {
    let now = app_state.now();
    let key = path.rsplit('/').next().unwrap_or_default();
    let mut vimeo_state = app_state.vimeo();
    match vimeo_state.find_link(key) {
        Some((video, LinkTarget::Version(version))) => {
            vimeo_state.edit_version(video, version, |version| version.upload.kill_link(status, now));
        }
        Some((video, target)) => {
            vimeo_state.edit_video(video, |video| video.kill_link(target, status.as_u16()));
        }
        None => {}
    }
}

/// Schedules the failure of the version that a request has created.
pub(super) fn schedule_failure(app_state: &AppState, response: &Response, scheduled_failure: &Failure) {
    let now = app_state.now();
    if let Some(CreatedVersion(video, version)) = response.extensions().get() {
        app_state.vimeo().edit_version(*video, *version, |version| {
            version.upload.schedule_failure(scheduled_failure.clone(), now);
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::Options;
    use crate::ambient::system_random;
    use crate::app_state::DiskLocks;
    use crate::errors;
    use crate::snapshot::Snapshot;
    use crate::state::{Approach, NewVersion, NewVideo, Settings, VideoId, VimeoState};

    fn app_state() -> (AppState, VideoId) {
        let vimeo_state = VimeoState::first(system_random(), Vec::new());
        let app_state = AppState::new(
            &Options { clock: std::sync::Arc::new(|| Timestamp::UNIX_EPOCH), ..Options::default() },
            String::new(),
            DiskLocks { state_file: None, upload_dir_lock: None },
            Snapshot { initial: vimeo_state.clone(), vimeo: vimeo_state },
        );
        let app = app_state.vimeo().list_apps().next().unwrap().clone();
        let version =
            NewVersion { file_name: None, approach: Approach::Tus, size: Some(5), link_expires_at: None };
        let new =
            NewVideo { owner: app.owner, app: app.id, settings: Settings::default(), folder: None, version };
        let id = app_state.vimeo().add_video(new, Timestamp::UNIX_EPOCH).id;
        (app_state, id)
    }

    fn active(app_state: &AppState, id: VideoId) -> crate::state::Upload {
        app_state.vimeo().find_video(id).unwrap().active_version().unwrap().upload.clone()
    }

    #[test]
    fn a_killed_link_is_dead_for_good_with_its_status() {
        let (app_state, id) = app_state();
        let key = active(&app_state, id).key;
        assert_eq!(active(&app_state, id).dead_status(Timestamp::MAX), None);
        kill_link(&app_state, "/files/vimeo/nonsense", StatusCode::GONE);
        assert_eq!(active(&app_state, id).dead_status(Timestamp::MAX), None);
        kill_link(&app_state, &format!("/files/vimeo/{key}"), StatusCode::GONE);
        assert_eq!(active(&app_state, id).dead_status(app_state.now()), Some(StatusCode::GONE));
    }

    #[test]
    fn what_a_handler_says_it_made_is_doomed_and_nothing_else() {
        let (app_state, id) = app_state();
        let version = app_state.vimeo().find_video(id).unwrap().active;
        let scheduled_failure = Failure::of_upload("internal");
        let speak_of = || errors::answer(StatusCode::OK, "application/json", &json!({"uri": id.to_string()}));
        schedule_failure(&app_state, &speak_of(), &scheduled_failure);
        assert_eq!(active(&app_state, id).scheduled_failure, None);
        let mut response = speak_of();
        response.extensions_mut().insert(CreatedVersion(id, version));
        schedule_failure(&app_state, &response, &scheduled_failure);
        assert_eq!(active(&app_state, id).scheduled_failure, Some(scheduled_failure));
    }
}
