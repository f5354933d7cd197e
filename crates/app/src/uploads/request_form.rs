//! The form in which the request of an upload is sealed: the source, the settings, and the webhook.

use domain::moment::Moment;
use domain::publication::{
    Chapter, ChapterTitle, Publication, Requirement, Showcase, ShowcaseName, Tag, TextTrack, TextTrackName,
    TextTrackType, Thumbnail,
};
use domain::secret::Secret;
use domain::upload::{
    Comments, ContentRating, Domain, Embed, Folder, FolderName, License, Locale, Privacy, UploadSettings,
    VideoDescription, VideoName, VideoPassword, View,
};
use domain::video::{FolderNumber, PresetNumber, ShowcaseNumber};
use egress::RequestHeaders;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::request::{RequestedSource, UploadRequest, WebhookTarget};

/// The form at rest. Later versions must read it: fields are added, never changed. What earlier versions would ignore raises the
/// format of the job.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_url: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    embed_domains: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    content_rating: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    text_tracks: Vec<KeptTrack>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    showcases: Vec<KeptShowcase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chapters: Vec<KeptChapter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_headers: Vec<(Zeroizing<String>, Zeroizing<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_input: Option<Zeroizing<String>>,
}

#[derive(Serialize, Deserialize)]
struct KeptTrack {
    url: Zeroizing<String>,
    kind: String,
    language: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    is_active: bool,
    is_required: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptShowcase {
    Uri(String),
    Name(String),
}

#[derive(Serialize, Deserialize)]
struct KeptChapter {
    millis: u64,
    title: String,
}

fn kept(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(secret.expose().to_owned())
}

fn secret(text: &Zeroizing<String>) -> Secret {
    Secret::new(text.as_str().to_owned())
}

impl UploadRequest {
    /// The bytes that are sealed.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let settings = &self.settings;
        let mut form = Kept {
            name: settings.name.as_ref().map(|name| name.as_str().to_owned()),
            description: settings.description.as_ref().map(|text| text.as_str().to_owned()),
            view: settings.privacy.view.map(|view| view.as_str().to_owned()),
            embed: settings.privacy.embed.map(|embed| embed.as_str().to_owned()),
            comments: settings.privacy.comments.map(|comments| comments.as_str().to_owned()),
            download: settings.privacy.is_downloadable,
            add: settings.privacy.is_addable,
            password: settings.password.as_ref().map(|password| kept(password.as_secret())),
            embed_domains: settings.embed_domains.iter().map(|domain| domain.as_str().to_owned()).collect(),
            content_rating: settings.content_rating.iter().map(|rating| rating.as_str().to_owned()).collect(),
            license: settings.license.map(|license| license.as_str().to_owned()),
            locale: settings.locale.as_ref().map(|locale| locale.as_str().to_owned()),
            webhook: self.webhook.as_ref().map(|webhook| kept(&webhook.url)),
            webhook_input: self.webhook.as_ref().and_then(|webhook| webhook.input.as_ref()).map(kept),
            ..Kept::default()
        };
        match &self.source {
            RequestedSource::Url { url, headers } => {
                form.source_url = Some(kept(url));
                let text = |text: &str| Zeroizing::new(text.to_owned());
                form.source_headers =
                    headers.pairs().map(|(name, value)| (text(name), text(value))).collect();
            }
            RequestedSource::Client { size } => form.source_size = Some(*size),
        }
        match &settings.folder {
            Some(Folder::Number(folder)) => form.folder_uri = Some(folder.to_string()),
            Some(Folder::Named(name)) => form.folder_name = Some(name.as_str().to_owned()),
            None => {}
        }
        form.keep_publication(&settings.publication);
        // Texts and numbers under names of our own: they always are JSON.
        Zeroizing::new(serde_json::to_vec(&form).unwrap_or_default())
    }

    /// Reads what [`Self::to_bytes`] gave, except for what is stored with the job; `None` if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let form: Kept = serde_json::from_slice(bytes).ok()?;
        let source = match (&form.source_url, form.source_size) {
            (Some(url), None) => RequestedSource::Url { url: secret(url), headers: form.headers()? },
            (None, Some(size)) => RequestedSource::Client { size },
            _ => return None,
        };
        let webhook = form
            .webhook
            .as_ref()
            .map(|url| WebhookTarget { url: secret(url), input: form.webhook_input.as_ref().map(secret) });
        Some(Self { source, settings: form.settings()?, replaces: None, publish_at: None, webhook })
    }
}

impl Kept {
    fn keep_publication(&mut self, publication: &Publication) {
        match &publication.thumbnail {
            Some(Thumbnail::At(moment)) => self.thumbnail_millis = Some(moment.as_millis()),
            Some(Thumbnail::Image(url)) => self.thumbnail_url = Some(kept(url)),
            None => {}
        }
        self.text_tracks = publication.text_tracks.iter().map(KeptTrack::of).collect();
        self.tags = publication.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        let showcase = |showcase: &Showcase| match showcase {
            Showcase::Number(number) => KeptShowcase::Uri(number.to_string()),
            Showcase::Named(name) => KeptShowcase::Name(name.as_str().to_owned()),
        };
        self.showcases = publication.showcases.iter().map(showcase).collect();
        self.preset = publication.preset.map(|preset| preset.to_string());
        let chapter = |chapter: &Chapter| KeptChapter {
            millis: chapter.starts_at.as_millis(),
            title: chapter.title.as_str().to_owned(),
        };
        self.chapters = publication.chapters.iter().map(chapter).collect();
    }

    fn headers(&self) -> Option<RequestHeaders> {
        let pairs = self.source_headers.iter();
        RequestHeaders::parse(pairs.map(|(name, value)| (name.as_str(), value.as_str()))).ok()
    }

    fn publication(&self) -> Option<Publication> {
        let thumbnail = match (self.thumbnail_millis, &self.thumbnail_url) {
            (Some(millis), None) => Some(Thumbnail::At(Moment::from_millis(millis).ok()?)),
            (None, Some(url)) => Some(Thumbnail::Image(secret(url))),
            (None, None) => None,
            (Some(_), Some(_)) => return None,
        };
        let showcase = |showcase: &KeptShowcase| match showcase {
            KeptShowcase::Uri(uri) => ShowcaseNumber::parse_uri(uri).ok().map(Showcase::Number),
            KeptShowcase::Name(name) => ShowcaseName::parse(name).ok().map(Showcase::Named),
        };
        let chapter = |chapter: &KeptChapter| {
            Some(Chapter {
                starts_at: Moment::from_millis(chapter.millis).ok()?,
                title: ChapterTitle::parse(&chapter.title).ok()?,
            })
        };
        Some(Publication {
            thumbnail,
            text_tracks: self.text_tracks.iter().map(KeptTrack::read).collect::<Option<_>>()?,
            tags: all(&self.tags, Tag::parse)?,
            showcases: self.showcases.iter().map(showcase).collect::<Option<_>>()?,
            preset: read(self.preset.as_deref(), PresetNumber::parse_uri)?,
            chapters: self.chapters.iter().map(chapter).collect::<Option<_>>()?,
        })
    }

    fn settings(&self) -> Option<UploadSettings> {
        Some(UploadSettings {
            name: read(self.name.as_deref(), VideoName::parse)?,
            description: read(self.description.as_deref(), VideoDescription::parse)?,
            privacy: Privacy {
                view: read(self.view.as_deref(), View::parse)?,
                embed: read(self.embed.as_deref(), Embed::parse)?,
                comments: read(self.comments.as_deref(), Comments::parse)?,
                is_downloadable: self.download,
                is_addable: self.add,
            },
            password: read(self.password.as_ref().map(|text| text.as_str()), VideoPassword::parse)?,
            embed_domains: all(&self.embed_domains, Domain::parse)?,
            content_rating: all(&self.content_rating, ContentRating::parse)?,
            folder: match (&self.folder_uri, &self.folder_name) {
                (Some(uri), _) => Some(Folder::Number(FolderNumber::parse_uri(uri).ok()?)),
                (None, Some(name)) => Some(Folder::Named(FolderName::parse(name).ok()?)),
                (None, None) => None,
            },
            license: read(self.license.as_deref(), License::parse)?,
            locale: read(self.locale.as_deref(), Locale::parse)?,
            publication: self.publication()?,
        })
    }
}

impl KeptTrack {
    fn of(track: &TextTrack) -> Self {
        Self {
            url: kept(&track.url),
            kind: track.kind.as_str().to_owned(),
            language: track.language.as_str().to_owned(),
            name: track.name.as_ref().map(|name| name.as_str().to_owned()),
            is_active: track.is_active,
            is_required: track.requirement == Requirement::Required,
        }
    }

    fn read(&self) -> Option<TextTrack> {
        Some(TextTrack {
            url: secret(&self.url),
            kind: TextTrackType::parse(&self.kind).ok()?,
            language: Locale::parse(&self.language).ok()?,
            name: read(self.name.as_deref(), TextTrackName::parse)?,
            is_active: self.is_active,
            requirement: if self.is_required { Requirement::Required } else { Requirement::Optional },
        })
    }
}

/// The outer `None`: what is there is not what it should be.
#[expect(clippy::option_option, reason = "whether it is there, and whether it is good, are two questions")]
fn read<T, E>(text: Option<&str>, parse: impl Fn(&str) -> Result<T, E>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => parse(text).ok().map(Some),
    }
}

fn all<T, E>(texts: &[String], parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
    texts.iter().map(|text| parse(text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str, headers: &[(&str, &str)]) -> RequestedSource {
        let headers = RequestHeaders::parse(headers.iter().copied()).unwrap();
        RequestedSource::Url { url: Secret::new(url.to_owned()), headers }
    }

    fn publication(thumbnail: Thumbnail) -> Publication {
        let track = TextTrack {
            url: Secret::new("https://example.com/a.vtt?token=x".to_owned()),
            kind: TextTrackType::Captions,
            language: Locale::parse("en").unwrap(),
            name: Some(TextTrackName::parse("English").unwrap()),
            is_active: true,
            requirement: Requirement::Required,
        };
        Publication {
            thumbnail: Some(thumbnail),
            text_tracks: vec![TextTrack { name: None, is_active: false, ..track.clone() }, track],
            tags: vec![Tag::parse("a tag").unwrap()],
            showcases: vec![
                Showcase::Number(ShowcaseNumber::parse_uri("/users/1/albums/2").unwrap()),
                Showcase::Named(ShowcaseName::parse("Talks").unwrap()),
            ],
            preset: Some(PresetNumber::parse_uri("/presets/7").unwrap()),
            chapters: vec![Chapter {
                starts_at: Moment::from_millis(2_000).unwrap(),
                title: ChapterTitle::parse("Two").unwrap(),
            }],
        }
    }

    #[test]
    fn only_what_earlier_versions_would_ignore_raises_the_format() {
        let mut request = UploadRequest {
            source: url("https://example.com/a", &[]),
            settings: UploadSettings::default(),
            replaces: None,
            publish_at: Some(domain::time::Timestamp::from_millis(5)),
            webhook: None,
        };
        request.settings.publication.thumbnail = Some(Thumbnail::At(Moment::from_millis(1).unwrap()));
        assert_eq!(request.format(), 1, "the time is in the row");
        request.settings.publication.tags = vec![Tag::parse("a tag").unwrap()];
        assert_eq!(request.format(), 2);
        let source = url("https://example.com/a", &[("X-Token", "abc")]);
        let settings = UploadSettings::default();
        assert_eq!(UploadRequest { source, settings, ..request }.format(), 2);
    }

    #[test]
    fn a_request_is_read_back_as_it_was() {
        let bare = UploadRequest {
            source: RequestedSource::Client { size: 5 },
            settings: UploadSettings::default(),
            replaces: None,
            publish_at: None,
            webhook: None,
        };
        let full = UploadRequest {
            source: url("https://example.com/a?token=x", &[("X-Token", "abc")]),
            settings: UploadSettings {
                name: Some(VideoName::parse("A name").unwrap()),
                description: Some(VideoDescription::parse("Two\nlines").unwrap()),
                privacy: Privacy {
                    view: Some(View::Password),
                    embed: Some(Embed::Whitelist),
                    comments: Some(Comments::Nobody),
                    is_downloadable: Some(false),
                    is_addable: Some(true),
                },
                password: Some(VideoPassword::parse("pass word").unwrap()),
                embed_domains: vec![Domain::parse("example.com").unwrap()],
                content_rating: vec![ContentRating::Safe],
                folder: Some(Folder::Number(FolderNumber::parse_uri("/users/1/folders/2").unwrap())),
                license: Some(License::ByNc),
                locale: Some(Locale::parse("en").unwrap()),
                publication: publication(Thumbnail::At(Moment::from_millis(1_500).unwrap())),
            },
            replaces: None,
            publish_at: None,
            webhook: Some(WebhookTarget {
                url: Secret::new("https://example.com/hook".to_owned()),
                input: Some(Secret::new("{\"a\":1}".to_owned())),
            }),
        };
        let mut with_image = full.clone();
        let image = Thumbnail::Image(Secret::new("https://example.com/a.png".to_owned()));
        with_image.settings.publication = publication(image);
        assert_eq!((bare.format(), full.format()), (1, 2));
        for request in [bare, full, with_image] {
            let bytes = request.to_bytes();
            let again = UploadRequest::from_bytes(&bytes).unwrap();
            assert_eq!(again.to_bytes(), bytes);
        }
        for bad in
            ["", "{}", "[]", r#"{"source_url":"a","source_size":1}"#, r#"{"source_size":1,"view":"x"}"#]
        {
            assert!(UploadRequest::from_bytes(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_request_does_not_show_its_secrets() {
        let request = UploadRequest {
            source: url("https://canary.example", &[("X-Token", "canary")]),
            settings: UploadSettings::default(),
            replaces: None,
            publish_at: None,
            webhook: None,
        };
        assert!(!format!("{request:?}").contains("canary"));
    }
}
