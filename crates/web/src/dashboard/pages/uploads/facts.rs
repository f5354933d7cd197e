//! What the page of an upload says about its source and its settings.

use domain::job::{Job, SourceKind};
use domain::publication::{Showcase, Tag, Thumbnail};
use domain::upload::{Domain, Folder, UploadSettings, View};

use super::super::super::messages as m;
use super::super::super::respond::number;
use super::present::bytes;

/// Settings and other facts: label and value.
pub(super) fn facts(job: &Job, settings: Option<&UploadSettings>) -> Vec<(String, String)> {
    let source = match job.source {
        SourceKind::Url => m::SOURCE_OF_URL,
        SourceKind::Client => m::SOURCE_OF_CLIENT,
    };
    let mut facts = vec![(m::SOURCE, Some(source.to_owned()))];
    facts.push((m::SIZE, job.bytes_total().map(|size| format!("{} ({} B)", bytes(size), number(size)))));
    facts.push((m::VIDEO_URI, job.video().map(|video| video.to_string())));
    facts.push((m::REPLACES, job.replaces.map(|video| video.to_string())));
    facts.push((m::PUBLISH_AT, job.publish_at.map(|at| at.to_string())));
    if let Some(settings) = settings {
        facts.extend(setting_facts(settings));
    }
    facts.into_iter().filter_map(|(label, value)| Some((label.to_owned(), value?))).collect()
}

fn setting_facts(settings: &UploadSettings) -> Vec<(&'static str, Option<String>)> {
    let privacy = settings.privacy;
    let allowed = |is_allowed: bool| (if is_allowed { m::ALLOWED } else { m::NOT_ALLOWED }).to_owned();
    let listed = |texts: Vec<&str>| Some(texts.join(", ")).filter(|text| !text.is_empty());
    let folder = settings.folder.as_ref().map(|folder| match folder {
        Folder::Number(number) => number.to_string(),
        Folder::Named(name) => name.as_str().to_owned(),
    });
    let publication = &settings.publication;
    let thumbnail = publication.thumbnail.as_ref().map(|thumbnail| match thumbnail {
        Thumbnail::At(moment) => {
            let millis = moment.as_millis();
            m::at_second(&format!("{}.{:03}", millis / 1_000, millis % 1_000))
        }
        Thumbnail::Image(_) => m::THUMBNAIL_IMAGE.to_owned(),
    });
    let tracks: Vec<_> = publication.text_tracks.iter().map(ToString::to_string).collect();
    let showcase = |showcase: &Showcase| match showcase {
        Showcase::Number(number) => number.to_string(),
        Showcase::Named(name) => name.as_str().to_owned(),
    };
    let showcases: Vec<_> = publication.showcases.iter().map(showcase).collect();
    vec![
        (m::VIDEO_NAME, settings.name.as_ref().map(|name| name.as_str().to_owned())),
        (m::DESCRIPTION, settings.description.as_ref().map(|text| text.as_str().to_owned())),
        (m::PRIVACY, Some(view_text(privacy.view).to_owned())),
        (m::VIDEO_PASSWORD, settings.password.as_ref().map(|_| m::PASSWORD_SET.to_owned())),
        (m::EMBED, privacy.embed.map(|embed| embed.as_str().to_owned())),
        (m::EMBED_DOMAINS, listed(settings.embed_domains.iter().map(Domain::as_str).collect())),
        (m::COMMENTS, privacy.comments.map(|comments| comments.as_str().to_owned())),
        (m::DOWNLOAD, privacy.is_downloadable.map(allowed)),
        (m::ADD_TO_COLLECTIONS, privacy.is_addable.map(allowed)),
        (m::FOLDER, folder),
        (m::CONTENT_RATING, listed(settings.content_rating.iter().map(|rating| rating.as_str()).collect())),
        (m::LICENSE, settings.license.map(|license| license.as_str().to_owned())),
        (m::LANGUAGE, settings.locale.as_ref().map(|locale| locale.as_str().to_owned())),
        (m::THUMBNAIL, thumbnail),
        (m::TEXT_TRACKS, listed(tracks.iter().map(String::as_str).collect())),
        (m::TAGS, listed(publication.tags.iter().map(Tag::as_str).collect())),
        (m::SHOWCASES, listed(showcases.iter().map(String::as_str).collect())),
        (m::EMBED_PRESET, publication.preset.map(|preset| preset.to_string())),
        (
            m::CHAPTERS,
            Some(publication.chapters.len()).filter(|count| *count > 0).map(|count| count.to_string()),
        ),
    ]
}

/// Who may watch a video, in words.
pub(super) const fn view_text(view: Option<View>) -> &'static str {
    match view {
        None | Some(View::Anybody) => m::VIEW_ANYBODY,
        Some(View::Nobody) => m::VIEW_OWNER,
        Some(View::Password) => m::VIEW_PASSWORD,
        Some(View::Unlisted) => m::VIEW_UNLISTED,
        Some(View::Disable) => m::VIEW_DISABLE,
        Some(View::Users) => m::VIEW_USERS,
        Some(View::Contacts) => m::VIEW_CONTACTS,
    }
}
