//! The request of an upload, as bytes to be sealed: the source's URL, the settings, and the webhook.

use domain::job::SourceKind;
use domain::secret::Secret;
use domain::upload::{
    Comments, ContentRating, Domain, Embed, Folder, FolderName, License, Locale, Moment, Privacy,
    UploadSettings, VideoDescription, VideoName, VideoPassword, View,
};
use domain::video::FolderNumber;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The request of an upload.
#[derive(Debug, Clone)]
pub struct UploadRequest {
    /// Where the bytes come from.
    pub source: RequestedSource,
    /// The settings of the video.
    pub settings: UploadSettings,
    /// Called when the job has ended.
    pub webhook: Option<WebhookTarget>,
}

/// Where the bytes of an upload come from.
#[derive(Debug, Clone)]
pub enum RequestedSource {
    /// This URL, which is syntactically valid.
    Url(Secret),
    /// The client, which sends the bytes itself.
    Client {
        /// The number of bytes.
        size: u64,
    },
}

/// The webhook that is called when a job has ended.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// A syntactically valid URL.
    pub url: Secret,
    /// JSON that is sent along, unchanged.
    pub input: Option<Secret>,
}

impl RequestedSource {
    /// Its kind.
    pub(crate) fn kind(&self) -> SourceKind {
        match self {
            Self::Url(_) => SourceKind::Url,
            Self::Client { .. } => SourceKind::Client,
        }
    }
}

/// The form at rest. Later versions must read it: fields are added, never changed.
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
    webhook: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_input: Option<Zeroizing<String>>,
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
            thumbnail_millis: settings.thumbnail_at.map(Moment::as_millis),
            webhook: self.webhook.as_ref().map(|webhook| kept(&webhook.url)),
            webhook_input: self.webhook.as_ref().and_then(|webhook| webhook.input.as_ref()).map(kept),
            ..Kept::default()
        };
        match &self.source {
            RequestedSource::Url(url) => form.source_url = Some(kept(url)),
            RequestedSource::Client { size } => form.source_size = Some(*size),
        }
        match &settings.folder {
            Some(Folder::Number(folder)) => form.folder_uri = Some(folder.to_string()),
            Some(Folder::Named(name)) => form.folder_name = Some(name.as_str().to_owned()),
            None => {}
        }
        // Texts and numbers under names of our own: they always are JSON.
        Zeroizing::new(serde_json::to_vec(&form).unwrap_or_default())
    }

    /// Reads what [`Self::to_bytes`] gave; `None` if it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let form: Kept = serde_json::from_slice(bytes).ok()?;
        let source = match (&form.source_url, form.source_size) {
            (Some(url), None) => RequestedSource::Url(secret(url)),
            (None, Some(size)) => RequestedSource::Client { size },
            _ => return None,
        };
        let webhook = form
            .webhook
            .as_ref()
            .map(|url| WebhookTarget { url: secret(url), input: form.webhook_input.as_ref().map(secret) });
        Some(Self { source, settings: form.settings()?, webhook })
    }
}

impl Kept {
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
            thumbnail_at: match self.thumbnail_millis {
                Some(millis) => Some(Moment::from_millis(millis).ok()?),
                None => None,
            },
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

    #[test]
    fn a_request_is_read_back_as_it_was() {
        let bare = UploadRequest {
            source: RequestedSource::Client { size: 5 },
            settings: UploadSettings::default(),
            webhook: None,
        };
        let full = UploadRequest {
            source: RequestedSource::Url(Secret::new("https://example.com/a?token=x".to_owned())),
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
                thumbnail_at: Some(Moment::from_millis(1_500).unwrap()),
            },
            webhook: Some(WebhookTarget {
                url: Secret::new("https://example.com/hook".to_owned()),
                input: Some(Secret::new("{\"a\":1}".to_owned())),
            }),
        };
        for request in [bare, full] {
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
            source: RequestedSource::Url(Secret::new("https://canary.example".to_owned())),
            settings: UploadSettings::default(),
            webhook: None,
        };
        assert!(!format!("{request:?}").contains("canary"));
    }
}
