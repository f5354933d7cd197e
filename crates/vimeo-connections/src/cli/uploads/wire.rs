//! The settings of a video as the API takes them.

use domain::publication::{Chapter, Publication, Requirement, Showcase, TextTrack, TextTrackName, Thumbnail};
use domain::upload::{Domain, Folder, Privacy, UploadSettings};
use serde_json::{Map, Value, json};

use super::publication::VideoOptions;

/// The body of a request for an upload. The same settings have the same bytes in every run. Contains the password.
pub(super) fn body(source: Value, options: &VideoOptions) -> Value {
    let VideoOptions { settings, replaces, publish_at } = options;
    let UploadSettings {
        name,
        description,
        privacy,
        password,
        embed_domains,
        content_rating,
        folder,
        license,
        locale,
        publication,
    } = settings;
    let mut body = Map::new();
    body.insert("source".to_owned(), source);
    let mut add = |field: &str, value: Option<Value>| {
        body.extend(value.map(|value| (field.to_owned(), value)));
    };
    let texts = |texts: Vec<&str>| (!texts.is_empty()).then(|| json!(texts));
    add("name", name.as_ref().map(|name| json!(name.as_str())));
    add("description", description.as_ref().map(|text| json!(text.as_str())));
    match folder {
        Some(Folder::Number(number)) => add("folder_uri", Some(json!(number.to_string()))),
        Some(Folder::Named(name)) => add("folder_name", Some(json!(name.as_str()))),
        None => {}
    }
    add("content_rating", texts(content_rating.iter().map(|rating| rating.as_str()).collect()));
    add("privacy", privacy_object(*privacy));
    add("password", password.as_ref().map(|password| json!(password.as_secret().expose())));
    add("embed_domains", texts(embed_domains.iter().map(Domain::as_str).collect()));
    add("license", license.map(|license| json!(license.as_str())));
    add("locale", locale.as_ref().map(|locale| json!(locale.as_str())));
    add("replaces", replaces.map(|video| json!(video.to_string())));
    add("publishAt", publish_at.map(|at| json!(at.to_string())));
    body.extend(publication_fields(publication));
    Value::Object(body)
}

/// What a video is published with beside its settings.
pub(super) fn publication(publication: &Publication) -> Value {
    Value::Object(publication_fields(publication))
}

fn publication_fields(publication: &Publication) -> Map<String, Value> {
    let Publication { thumbnail, text_tracks, tags, showcases, preset, chapters } = publication;
    let mut fields = Map::new();
    let mut add = |field: &str, value: Option<Value>| {
        fields.extend(value.map(|value| (field.to_owned(), value)));
    };
    let listed = |values: Vec<Value>| (!values.is_empty()).then_some(Value::Array(values));
    match thumbnail {
        // As earlier versions of the service take it.
        Some(Thumbnail::At(moment)) => add("thumbnail_time", Some(seconds(moment.as_millis()))),
        Some(Thumbnail::Image(url)) => add("thumbnail", Some(json!({ "url": url.expose() }))),
        None => {}
    }
    add("tags", listed(tags.iter().map(|tag| json!(tag.as_str())).collect()));
    let showcase = |showcase: &Showcase| match showcase {
        Showcase::Number(number) => json!(number.to_string()),
        Showcase::Named(name) => json!(name.as_str()),
    };
    add("showcases", listed(showcases.iter().map(showcase).collect()));
    add("embedPreset", preset.map(|preset| json!(preset.to_string())));
    let track = |track: &TextTrack| {
        json!({
            "url": track.url.expose(),
            "type": track.kind.as_str(),
            "language": track.language.as_str(),
            "name": track.name.as_ref().map(TextTrackName::as_str),
            "active": track.is_active,
            "required": track.requirement == Requirement::Required,
        })
    };
    add("textTracks", listed(text_tracks.iter().map(track).collect()));
    let chapter = |chapter: &Chapter| json!({ "timecode": chapter.starts_at.as_millis() / 1_000, "title": chapter.title.as_str() });
    add("chapters", listed(chapters.iter().map(chapter).collect()));
    fields
}

fn privacy_object(privacy: Privacy) -> Option<Value> {
    let Privacy { view, embed, comments, is_downloadable, is_addable } = privacy;
    let mut object = Map::new();
    let mut add = |field: &str, value: Option<Value>| {
        object.extend(value.map(|value| (field.to_owned(), value)));
    };
    add("view", view.map(|view| json!(view.as_str())));
    add("embed", embed.map(|embed| json!(embed.as_str())));
    add("comments", comments.map(|comments| json!(comments.as_str())));
    add("download", is_downloadable.map(|is_downloadable| json!(is_downloadable)));
    add("add", is_addable.map(|is_addable| json!(is_addable)));
    (!object.is_empty()).then_some(Value::Object(object))
}

/// Whole seconds as an integer.
#[expect(clippy::cast_precision_loss, reason = "at most a day of milliseconds")]
fn seconds(millis: u64) -> Value {
    if millis.is_multiple_of(1_000) { json!(millis / 1_000) } else { json!(millis as f64 / 1_000.0) }
}
