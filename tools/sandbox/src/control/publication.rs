//! What the control of a video shows of its publication.

use serde_json::{Value, json};

use crate::state::{Folder, StoredFile, Video, VimeoState, fingerprint};

/// The members to add to a video.
pub(super) fn present(vimeo_state: &VimeoState, video: &Video) -> Value {
    let tracks = video.text_tracks.iter().map(|track| {
        json!({
            "uri": format!("{}/texttracks/{}", video.id, track.number),
            "type": track.kind,
            "language": track.language,
            "name": track.name,
            "active": track.is_active,
            "file": track.file.as_ref().map(present_file),
            "link_fingerprint": fingerprint(track.link.key.as_bytes()),
        })
    });
    let pictures = video.pictures.iter().map(|picture| {
        let image = picture.image.as_ref();
        json!({
            "uri": format!("{}/pictures/{}", video.id, picture.number),
            "active": picture.is_active,
            "time_millis": image.is_none().then_some(picture.at_millis),
            "file": image.and_then(|image| image.file.as_ref()).map(present_file),
            "link_fingerprint": image.map(|image| fingerprint(image.link.key.as_bytes())),
        })
    });
    let chapters = video.chapters.iter().map(|chapter| {
        let uri = format!("{}/chapters/{}", video.id, chapter.number);
        json!({"uri": uri, "title": chapter.title, "timecode": chapter.timecode})
    });
    let owner = vimeo_state.find_user(video.owner);
    let preset = video.preset.filter(|preset| owner.is_some_and(|owner| owner.presets.contains(preset)));
    let showcases = vimeo_state.list_showcases().filter(|showcase| showcase.videos.contains(&video.id));
    let changes = video.view_changes.iter();
    json!({
        "view": video.settings.privacy.view,
        "opened_at": video.view_changes.last().map(|change| change.at.to_string()),
        "view_changes": changes.map(|change| json!({"view": change.view, "at": change.at.to_string()})).collect::<Vec<_>>(),
        "text_tracks": tracks.collect::<Vec<_>>(),
        "pictures": pictures.collect::<Vec<_>>(),
        "tags": video.tags,
        "chapters": chapters.collect::<Vec<_>>(),
        "showcases": showcases.map(|showcase| json!({"uri": showcase.uri(), "name": showcase.name})).collect::<Vec<_>>(),
        "preset": preset.map(|preset| format!("{}/presets/{}", video.owner, preset.number())),
        "folder": video.folder.and_then(|id| vimeo_state.find_folder(id)).map(Folder::uri),
    })
}

fn present_file(file: &StoredFile) -> Value {
    json!({
        "size": file.size,
        "sha256": file.sha256,
        "format": file.format,
        "received_at": file.received_at.to_string(),
    })
}
