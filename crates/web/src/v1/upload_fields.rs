//! The fields of an upload's body, and what other APIs call them. Unknown fields are errors at every level: ignoring a
//! misspelt setting could publish a video.

use crate::UnknownFields;
use crate::fields::{Known, Vocabulary};
use crate::json::Keep;

/// Kept as received.
pub(crate) const WEBHOOK_INPUT: &str = "webhookInput";

/// Which parts of the body are kept.
pub(crate) const KEEP: Keep<'_> = Keep { raw: &[WEBHOOK_INPUT], known: Some(BODY.names) };

/// The body.
pub(super) const BODY: Known = known(&[
    "source",
    "name",
    "description",
    "folder_uri",
    "folder_name",
    "content_rating",
    "privacy",
    "password",
    "embed_domains",
    "license",
    "locale",
    "thumbnail",
    "thumbnail_time",
    "tags",
    "showcases",
    "embedPreset",
    "textTracks",
    "chapters",
    "publishAt",
    "replaces",
    "webhook",
    WEBHOOK_INPUT,
    "destination",
]);
/// Its `source`.
pub(super) const SOURCE: Known = known(&["url", "size", "headers"]);
/// Its `thumbnail`.
pub(super) const THUMBNAIL: Known = known(&["url", "timeSeconds"]);
/// An entry of its `textTracks`.
pub(super) const TEXT_TRACK: Known = known(&["url", "language", "type", "name", "active", "required"]);
/// An entry of its `chapters`.
pub(super) const CHAPTER: Known = known(&["timecode", "title"]);
/// Its `privacy`, and that of `destination`.
pub(super) const PRIVACY: Known = known(&["view", "embed", "comments", "download", "add"]);
/// Its `destination`: an entry of the documented render request's `destinations`.
pub(super) const DESTINATION: Known = known(&[
    "type",
    "connectionId",
    "connection_id",
    "name",
    "description",
    "folder_uri",
    "folder_name",
    "content_rating",
    "privacy",
    "password",
    "embed_domains",
    "license",
    "locale",
    "thumbnail_time",
]);

const fn known(names: &'static [&'static str]) -> Known {
    Known { names, unknown: UnknownFields::Reject, vocabulary: Some(&VOCABULARY) }
}

static VOCABULARY: Vocabulary = Vocabulary {
    paths: &[
        "source",
        "source.url",
        "source.size",
        "source.headers",
        "name",
        "description",
        "folder_uri",
        "folder_name",
        "content_rating",
        "privacy",
        "privacy.view",
        "privacy.embed",
        "privacy.comments",
        "privacy.download",
        "privacy.add",
        "password",
        "embed_domains",
        "license",
        "locale",
        "thumbnail",
        "thumbnail.url",
        "thumbnail.timeSeconds",
        "thumbnail_time",
        "tags",
        "showcases",
        "embedPreset",
        "textTracks",
        "chapters",
        "publishAt",
        "replaces",
        "webhook",
        WEBHOOK_INPUT,
        "destination",
        "destination.type",
        "destination.connectionId",
    ],
    synonyms: &[
        // The privacy, in the terms of Vimeo's own parameters, of YouTube, and of everyday language.
        ("visibility", "privacy.view"),
        ("visible", "privacy.view"),
        ("privacyvisibility", "privacy.view"),
        ("privacystatus", "privacy.view"),
        ("privacylevel", "privacy.view"),
        ("privacysetting", "privacy.view"),
        ("privacysettings", "privacy"),
        ("statusprivacystatus", "privacy.view"),
        ("viewprivacy", "privacy.view"),
        ("viewer", "privacy.view"),
        ("viewers", "privacy.view"),
        ("viewable", "privacy.view"),
        ("viewableby", "privacy.view"),
        ("audience", "privacy.view"),
        ("access", "privacy.view"),
        ("accesslevel", "privacy.view"),
        ("public", "privacy.view"),
        ("ispublic", "privacy.view"),
        ("private", "privacy.view"),
        ("isprivate", "privacy.view"),
        ("unlisted", "privacy.view"),
        ("isunlisted", "privacy.view"),
        ("hidden", "privacy.view"),
        ("published", "privacy.view"),
        ("whocanview", "privacy.view"),
        ("whocanwatch", "privacy.view"),
        ("embeddable", "privacy.embed"),
        ("embedding", "privacy.embed"),
        ("embedprivacy", "privacy.embed"),
        ("allowembed", "privacy.embed"),
        ("allowcomments", "privacy.comments"),
        ("commentsenabled", "privacy.comments"),
        ("commenting", "privacy.comments"),
        ("downloadable", "privacy.download"),
        ("downloads", "privacy.download"),
        ("allowdownload", "privacy.download"),
        ("allowdownloads", "privacy.download"),
        ("addable", "privacy.add"),
        ("allowadd", "privacy.add"),
        ("passcode", "password"),
        ("passphrase", "password"),
        ("videopassword", "password"),
        ("domains", "embed_domains"),
        ("alloweddomains", "embed_domains"),
        ("domainwhitelist", "embed_domains"),
        ("whitelist", "embed_domains"),
        ("embedwhitelist", "embed_domains"),
        ("privacydomains", "embed_domains"),
        // The name.
        ("title", "name"),
        ("videoname", "name"),
        ("videotitle", "name"),
        ("filename", "name"),
        ("displayname", "name"),
        ("summary", "description"),
        ("caption", "description"),
        ("desc", "description"),
        ("videodescription", "description"),
        ("folder", "folder_name"),
        ("foldername", "folder_name"),
        ("folderid", "folder_uri"),
        ("folderurl", "folder_uri"),
        ("parentfolderuri", "folder_uri"),
        ("project", "folder_uri"),
        ("projecturi", "folder_uri"),
        ("projectid", "folder_uri"),
        ("rating", "content_rating"),
        ("ratings", "content_rating"),
        ("contentratings", "content_rating"),
        ("maturity", "content_rating"),
        ("licence", "license"),
        ("language", "locale"),
        ("lang", "locale"),
        ("thumbnailat", "thumbnail.timeSeconds"),
        ("thumbnailseconds", "thumbnail.timeSeconds"),
        ("thumb", "thumbnail"),
        ("poster", "thumbnail"),
        ("thumbnailurl", "thumbnail.url"),
        ("posterurl", "thumbnail.url"),
        ("image", "thumbnail"),
        ("picture", "thumbnail"),
        ("cover", "thumbnail"),
        // The publication.
        ("keywords", "tags"),
        ("tag", "tags"),
        ("albums", "showcases"),
        ("album", "showcases"),
        ("showcase", "showcases"),
        ("preset", "embedPreset"),
        ("embedpreseturi", "embedPreset"),
        ("captions", "textTracks"),
        ("subtitles", "textTracks"),
        ("texttrack", "textTracks"),
        ("tracks", "textTracks"),
        ("chapter", "chapters"),
        ("publishdate", "publishAt"),
        ("publishtime", "publishAt"),
        ("publishedat", "publishAt"),
        ("scheduledat", "publishAt"),
        ("schedule", "publishAt"),
        ("scheduledpublishtime", "publishAt"),
        ("replace", "replaces"),
        ("replacevideo", "replaces"),
        ("requestheaders", "source.headers"),
        ("sourceheaders", "source.headers"),
        ("httpheaders", "source.headers"),
        // The source.
        ("uri", "source.url"),
        ("link", "source.url"),
        ("href", "source.url"),
        ("src", "source.url"),
        ("input", "source.url"),
        ("file", "source.url"),
        ("fileurl", "source.url"),
        ("video", "source.url"),
        ("videourl", "source.url"),
        ("downloadurl", "source.url"),
        ("uploadlink", "source.url"),
        ("filesize", "source.size"),
        ("bytes", "source.size"),
        ("length", "source.size"),
        ("contentlength", "source.size"),
        ("uploadsize", "source.size"),
        // The webhook.
        ("webhookurl", "webhook"),
        ("callback", "webhook"),
        ("callbackurl", "webhook"),
        ("notify", "webhook"),
        ("notifyurl", "webhook"),
        ("notificationurl", "webhook"),
        ("hook", "webhook"),
        ("hookurl", "webhook"),
        ("webhookdata", WEBHOOK_INPUT),
        ("webhookpayload", WEBHOOK_INPUT),
        ("metadata", WEBHOOK_INPUT),
    ],
    nested: (
        "destination",
        &[
            "name",
            "description",
            "folder_uri",
            "folder_name",
            "content_rating",
            "privacy",
            "password",
            "embed_domains",
            "license",
            "locale",
            "thumbnail_time",
        ],
    ),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    /// The field that is suggested for an unknown one at a level.
    fn likely(prefix: &str, known: Known, name: &str) -> Option<String> {
        VOCABULARY.likely_path(name, prefix, known.names)
    }

    #[test]
    fn other_names_of_a_setting_suggest_the_field() {
        for (name, meant) in [
            ("view", "privacy.view"),
            ("visibility", "privacy.view"),
            ("privacy_view", "privacy.view"),
            ("privacyView", "privacy.view"),
            ("PrivacyView", "privacy.view"),
            ("privacy.view", "privacy.view"),
            ("privacy[view]", "privacy.view"),
            ("privacy.visibility", "privacy.view"),
            ("privacyStatus", "privacy.view"),
            ("privacy_veiw", "privacy.view"),
            ("isPrivate", "privacy.view"),
            ("Privacy", "privacy"),
            ("privicy", "privacy"),
            ("embed", "privacy.embed"),
            ("download", "privacy.download"),
            ("comments", "privacy.comments"),
            ("add", "privacy.add"),
            ("title", "name"),
            ("Title", "name"),
            ("webhook_url", "webhook"),
            ("callback", "webhook"),
            ("webhook_input", "webhookInput"),
            ("url", "source.url"),
            ("sourceUrl", "source.url"),
            ("size", "source.size"),
            ("folder", "folder_name"),
            ("folderUri", "folder_uri"),
            ("contentRating", "content_rating"),
            ("pasword", "password"),
            ("embedDomains", "embed_domains"),
            ("licence", "license"),
            ("language", "locale"),
            ("thumbnail", "thumbnail"),
            ("destinations", "destination"),
            ("connectionId", "destination.connectionId"),
            ("type", "destination.type"),
        ] {
            assert_eq!(likely("", BODY, name).as_deref(), Some(meant), "{name}");
        }
        for name in ["rotation", "colour", "", "?", "---", &"view_".repeat(20)] {
            assert_eq!(likely("", BODY, name), None, "{name}");
        }
    }

    #[test]
    fn a_field_of_another_level_is_suggested_with_its_path() {
        for (prefix, known, name, meant) in [
            ("source.", SOURCE, "uri", "source.url"),
            ("source.", SOURCE, "URL", "source.url"),
            ("source.", SOURCE, "view", "privacy.view"),
            ("source.", SOURCE, "name", "name"),
            ("source.", SOURCE, "privacy", "privacy"),
            ("source.", SOURCE, "webhook", "webhook"),
            ("privacy.", PRIVACY, "View", "privacy.view"),
            ("privacy.", PRIVACY, "viwe", "privacy.view"),
            ("privacy.", PRIVACY, "visibility", "privacy.view"),
            ("privacy.", PRIVACY, "password", "password"),
            ("privacy.", PRIVACY, "embed_domains", "embed_domains"),
            ("destination.", DESTINATION, "view", "destination.privacy.view"),
            ("destination.", DESTINATION, "title", "destination.name"),
            ("destination.", DESTINATION, "folderUri", "destination.folder_uri"),
            ("destination.", DESTINATION, "webhook", "webhook"),
            ("destination.", DESTINATION, "source", "source"),
            ("destination.", DESTINATION, "url", "source.url"),
            ("destination.privacy.", PRIVACY, "visibility", "destination.privacy.view"),
            ("destination.privacy.", PRIVACY, "name", "destination.name"),
        ] {
            assert_eq!(likely(prefix, known, name).as_deref(), Some(meant), "{prefix}{name}");
        }
        assert_eq!(likely("source.", SOURCE, "type"), None);
        assert_eq!(likely("source.", SOURCE, "headers").as_deref(), Some("source.headers"));
    }

    #[test]
    fn every_synonym_can_be_found_and_means_a_field() {
        for (synonym, path) in VOCABULARY.synonyms {
            assert!(synonym.bytes().all(|byte| byte.is_ascii_lowercase()), "{synonym}");
            assert!(VOCABULARY.paths.contains(path), "{path}");
            assert_eq!(likely("", BODY, synonym).as_deref(), Some(*path), "{synonym}");
        }
        let objects = [("", BODY), ("source.", SOURCE), ("privacy.", PRIVACY)];
        for (prefix, known) in objects {
            for name in known.names {
                assert!(VOCABULARY.paths.contains(&&*format!("{prefix}{name}")), "{prefix}{name}");
            }
        }
        let (_, shared) = VOCABULARY.nested;
        for name in shared {
            assert!(BODY.names.contains(name) && DESTINATION.names.contains(name), "{name}");
        }
        for known in [BODY, SOURCE, PRIVACY, DESTINATION] {
            assert!(known.unknown == UnknownFields::Reject);
            let object = vec![("colour".to_owned(), Json::Null)];
            assert_eq!(crate::fields::Fields::new(object, known).finish().0.len(), 1);
        }
    }
}
