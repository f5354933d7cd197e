//! What faults leave on uploads: dead links, and ends that are not good.

use axum::http::StatusCode;
use axum::response::Response;

use super::Made;
use crate::desk::Desk;
use crate::state::Failure;

/// Makes the upload link of this path dead for good, if it is one.
pub(super) fn kill_link(desk: &Desk, path: &str, status: StatusCode) {
    let now = desk.now();
    let key = path.rsplit('/').next().unwrap_or_default();
    let mut world = desk.world();
    let Some((video, version)) = world.find_upload(key) else { return };
    world.edit_version(video, version, |version| version.upload.kill_link(status, now));
}

/// Decides how the version ends that a request has made.
pub(super) fn doom(desk: &Desk, response: &Response, fate: &Failure) {
    let now = desk.now();
    if let Some(Made(video, version)) = response.extensions().get() {
        desk.world().edit_version(*video, *version, |version| version.upload.doom(fate.clone(), now));
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
    use crate::state::{Approach, NewVersion, NewVideo, Settings, VideoId, World};

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

    #[test]
    fn what_a_handler_says_it_made_is_doomed_and_nothing_else() {
        let (desk, id) = desk();
        let version = desk.world().find_video(id).unwrap().active;
        let fate = Failure::of_upload("internal");
        let speak_of = || errors::answer(StatusCode::OK, "application/json", &json!({"uri": id.to_string()}));
        doom(&desk, &speak_of(), &fate);
        assert_eq!(active(&desk, id).fate, None);
        let mut response = speak_of();
        response.extensions_mut().insert(Made(id, version));
        doom(&desk, &response, &fate);
        assert_eq!(active(&desk, id).fate, Some(fate));
    }
}
