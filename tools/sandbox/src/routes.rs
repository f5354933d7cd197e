//! The routes of videos and of a user's resources.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, put};

use crate::app_state::AppState;
use crate::folders;
use crate::showcases;
use crate::uploads::files;
use crate::users;
use crate::videos;

/// Resources of a user. Folders are served under both of their names.
pub(crate) fn own_routes(user: &str) -> Router<Arc<AppState>> {
    let mut router = Router::new()
        .route(user, get(users::show))
        .route(&format!("{user}/videos"), get(videos::list).post(videos::create))
        .route(
            &format!("{user}/videos/{{video}}"),
            get(videos::show).patch(videos::edit).delete(videos::delete),
        )
        .route(&format!("{user}/presets"), get(videos::list_presets))
        .route(&format!("{user}/presets/{{preset}}"), get(videos::show_preset))
        .merge(showcase_routes(&format!("{user}/albums")));
    for name in ["projects", "folders"] {
        let folders = format!("{user}/{name}");
        let folder = format!("{folders}/{{folder}}");
        router = router
            .route(&folders, get(folders::list).post(folders::create))
            .route(&folder, get(folders::show).patch(folders::edit).delete(folders::delete))
            .route(&format!("{folder}/items"), get(folders::list_items))
            .route(&format!("{folder}/folders"), get(folders::list_subfolders))
            .route(
                &format!("{folder}/videos"),
                get(folders::list_videos).put(folders::put_videos).delete(folders::remove_videos),
            )
            .route(
                &format!("{folder}/videos/{{video}}"),
                put(folders::put_video).delete(folders::remove_video),
            );
    }
    router
}

fn showcase_routes(all: &str) -> Router<Arc<AppState>> {
    let one = format!("{all}/{{album}}");
    Router::new()
        .route(all, get(showcases::list).post(showcases::create))
        .route(&one, get(showcases::show).patch(showcases::edit).delete(showcases::delete))
        .route(&format!("{one}/videos"), get(showcases::list_videos))
        .route(&format!("{one}/videos/{{video}}"), put(showcases::put_video).delete(showcases::remove_video))
}

/// Resources of a video.
pub(crate) fn video_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/videos/{video}", get(videos::show).patch(videos::edit).delete(videos::delete))
        .route("/videos/{video}/versions", get(videos::list_versions).post(videos::create_version))
        .route(
            "/videos/{video}/versions/{version}",
            get(videos::show_version).patch(videos::edit_version).delete(videos::delete_version),
        )
        .route("/videos/{video}/privacy/domains", get(videos::list_domains))
        .route(
            "/videos/{video}/privacy/domains/{domain}",
            put(videos::add_domain).delete(videos::remove_domain),
        )
        .route(
            "/videos/{video}/presets/{preset}",
            get(videos::show_preset_of_video).put(videos::set_preset).delete(videos::remove_preset),
        )
        .route("/videos/{video}/pictures", get(videos::list_pictures).post(videos::create_picture))
        .route(
            "/videos/{video}/pictures/{picture}",
            get(videos::show_picture).patch(videos::edit_picture).delete(videos::delete_picture),
        )
        .route("/videos/{video}/texttracks", get(videos::list_text_tracks).post(videos::create_text_track))
        .route(
            "/videos/{video}/texttracks/{track}",
            get(videos::show_text_track).patch(videos::edit_text_track).delete(videos::delete_text_track),
        )
        .route("/videos/{video}/tags", get(videos::list_tags).put(videos::add_tags))
        .route(
            "/videos/{video}/tags/{word}",
            get(videos::show_tag).put(videos::add_tag).delete(videos::remove_tag),
        )
        .route("/videos/{video}/chapters", get(videos::list_chapters).post(videos::create_chapter))
        .route(
            "/videos/{video}/chapters/{chapter}",
            get(videos::show_chapter).patch(videos::edit_chapter).delete(videos::delete_chapter),
        )
}

/// Links for files other than videos.
pub(crate) fn file_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route(files::TEXT_TRACK_ROUTE, any(files::serve_text_track))
        .route(files::PICTURE_ROUTE, any(files::serve_image))
        .route(files::READ_ROUTE, any(files::read))
}
