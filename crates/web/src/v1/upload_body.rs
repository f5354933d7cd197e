//! Parses the body of an upload field by field: returns the request, or all errors. Each setting may be at the top
//! level or in `destination`, but not in both.

use app::{EgressUrl, RequestedSource, UploadRequest, UrlError, WebhookTarget};
use domain::secret::Secret;
use domain::upload::{
    Comments, ContentRating, Domain, EMBED_DOMAINS_MAX, Embed, Folder, FolderName, License, Locale, Privacy,
    SettingsError, UploadSettings, VIDEO_MAX_BYTES, VideoDescription, VideoName, VideoPassword, View,
};
use domain::video::FolderNumber;

use super::upload_fields::{BODY, DESTINATION, PRIVACY, SOURCE, WEBHOOK_INPUT};
use super::upload_publication::{HasUrl, read_headers, read_publication, read_publish_at, read_replaces};
use crate::error::Problem;
use crate::fields::Fields;
use crate::json::Json;

/// Limit for the webhook input, in bytes of JSON.
const WEBHOOK_INPUT_MAX_BYTES: usize = 16 * 1024;
/// More than there are ratings.
const CONTENT_RATINGS_MAX: usize = 20;
/// The `type` of a destination.
const DESTINATION_TYPE: &str = "vimeo";

/// What the body is checked against.
pub(crate) struct Rules<'a> {
    /// Validates a URL.
    pub(crate) check_address: &'a dyn Fn(&str) -> Result<EgressUrl, UrlError>,
    /// The connection in the path.
    pub(crate) connection: &'a str,
}

/// Parses the body of an upload: returns the request, or all errors.
pub(crate) fn read_upload(object: Vec<(String, Json)>, rules: &Rules<'_>) -> Result<UploadRequest, Problem> {
    let mut fields = Fields::new(object, BODY);
    let source = read_source(&mut fields, rules);
    let mut destination = fields.optional_object("destination", DESTINATION);
    if let Some(destination) = &mut destination {
        read_destination(destination, rules);
    }
    let mut places = Places { top: &mut fields, inside: destination.as_mut() };
    let replaces = read_replaces(&mut places);
    let publish_at = read_publish_at(places.top);
    let settings = read_settings(&mut places, rules);
    let webhook = read_webhook(&mut fields, rules);
    if let Some(destination) = destination {
        fields.merge(destination);
    }
    // Unknown fields are errors at every level, so none is ever ignored.
    let (errors, _) = fields.finish();
    match source {
        Some(source) if errors.is_empty() => {
            Ok(UploadRequest { source, settings, replaces, publish_at, webhook })
        }
        _ => Err(Problem::invalid_fields(errors)),
    }
}

fn read_source(fields: &mut Fields, rules: &Rules<'_>) -> Option<RequestedSource> {
    let mut source = fields.required_object("source", SOURCE)?;
    let (has_url, has_size) = (source.is_set("url"), source.is_set("size"));
    let headers = read_headers(&mut source, if has_url { HasUrl::Yes } else { HasUrl::No });
    let url = source.optional_text("url", |text| (rules.check_address)(text).map(Some));
    let rule = format!("must be a whole number from 1 to {VIDEO_MAX_BYTES}");
    let size = source.optional_number("size", &rule, |number| {
        number.whole().filter(|size| (1..=VIDEO_MAX_BYTES).contains(size))
    });
    if has_url == has_size {
        source.object_error("must have either url or size");
    }
    fields.merge(source);
    match (url, size) {
        (Some(url), _) => Some(RequestedSource::Url { url: url.secret().clone(), headers }),
        (None, size) => size.map(|size| RequestedSource::Client { size }),
    }
}

/// Reads the fields of a destination other than settings.
fn read_destination(destination: &mut Fields, rules: &Rules<'_>) {
    destination.optional_text("type", |text| {
        let is_vimeo = text.eq_ignore_ascii_case(DESTINATION_TYPE);
        if is_vimeo { Ok(None::<()>) } else { Err("must be vimeo") }
    });
    for name in ["connectionId", "connection_id"] {
        destination.optional_text(name, |text| {
            let is_same = text == rules.connection;
            if is_same { Ok(None::<()>) } else { Err("must be the connection of the path, or be left out") }
        });
    }
}

fn read_webhook(fields: &mut Fields, rules: &Rules<'_>) -> Option<WebhookTarget> {
    let has_webhook = fields.is_set("webhook");
    let url = fields.optional_text("webhook", |text| (rules.check_address)(text).map(Some));
    let input = fields.optional_raw(WEBHOOK_INPUT, WEBHOOK_INPUT_MAX_BYTES);
    if input.is_some() && !has_webhook {
        fields.error::<()>(WEBHOOK_INPUT, "needs webhook");
    }
    // The string is moved, so that no copy is left behind.
    let input = input.map(|mut text| Secret::new(std::mem::take(&mut *text)));
    url.map(|url| WebhookTarget { url: url.secret().clone(), input })
}

/// The two objects that may contain a setting.
pub(super) struct Places<'a> {
    pub(super) top: &'a mut Fields,
    pub(super) inside: Option<&'a mut Fields>,
}

impl Places<'_> {
    /// The object that contains a setting; the top level if neither does. If both do, it is an error of the inner one.
    pub(super) fn of(&mut self, name: &str) -> &mut Fields {
        match &mut self.inside {
            Some(inside) if inside.is_set(name) && self.top.is_set(name) => {
                inside.reject(name, "is given outside of destination too");
                self.top
            }
            Some(inside) if inside.is_set(name) => inside,
            _ => self.top,
        }
    }

    pub(super) fn is_set(&mut self, name: &str) -> bool {
        self.of(name).is_set(name)
    }

    fn has_error(&self, names: &[&str]) -> bool {
        self.top.has_error(names) || self.inside.as_ref().is_some_and(|inside| inside.has_error(names))
    }
}

fn read_settings(places: &mut Places<'_>, rules: &Rules<'_>) -> UploadSettings {
    let is_nested = ["password", "embed_domains", "privacy"]
        .map(|name| places.inside.as_ref().is_some_and(|inside| inside.is_set(name)));
    let settings = UploadSettings {
        name: places.of("name").optional_text("name", |text| unless_empty(text, VideoName::parse)),
        description: places
            .of("description")
            .optional_text("description", |text| unless_empty(text, VideoDescription::parse)),
        privacy: read_privacy(places.of("privacy")),
        password: places
            .of("password")
            .optional_text("password", |text| VideoPassword::parse(text).map(Some)),
        embed_domains: places.of("embed_domains").optional_texts(
            "embed_domains",
            EMBED_DOMAINS_MAX,
            Domain::parse,
        ),
        content_rating: places.of("content_rating").optional_texts(
            "content_rating",
            CONTENT_RATINGS_MAX,
            ContentRating::parse,
        ),
        folder: read_folder(places),
        license: places.of("license").optional_text("license", |text| License::parse(text).map(Some)),
        locale: places.of("locale").optional_text("locale", |text| Locale::parse(text).map(Some)),
        publication: read_publication(places, rules),
    };
    for error in settings.check() {
        add_contradiction(places, error, is_nested);
    }
    settings
}

/// An empty string counts as not given.
fn unless_empty<T, E>(text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Option<T>, E> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn read_privacy(place: &mut Fields) -> Privacy {
    let Some(mut privacy) = place.optional_object("privacy", PRIVACY) else { return Privacy::default() };
    let read = Privacy {
        view: privacy.optional_text("view", |text| View::parse(text).map(Some)),
        embed: privacy.optional_text("embed", |text| Embed::parse(text).map(Some)),
        comments: privacy.optional_text("comments", |text| Comments::parse(text).map(Some)),
        is_downloadable: privacy.optional_bool("download"),
        is_addable: privacy.optional_bool("add"),
    };
    place.merge(privacy);
    read
}

fn read_folder(places: &mut Places<'_>) -> Option<Folder> {
    let has_uri = places.is_set("folder_uri");
    let number =
        places.of("folder_uri").optional_text("folder_uri", |text| FolderNumber::parse_uri(text).map(Some));
    let place = places.of("folder_name");
    if has_uri && place.is_set("folder_name") {
        place.reject("folder_name", "cannot be given together with folder_uri");
    }
    let name = place.optional_text("folder_name", |text| FolderName::parse(text).map(Some));
    number.map(Folder::Number).or(name.map(Folder::Named))
}

/// Reports contradictory settings, unless one of them is invalid on its own.
fn add_contradiction(places: &mut Places<'_>, error: SettingsError, is_nested: [bool; 3]) {
    let [password, domains, privacy] = is_nested;
    let (concerned, is_inside) = match error {
        SettingsError::PasswordMissing => (["privacy", "privacy.view", "password"], privacy),
        SettingsError::PasswordUnused => (["privacy", "privacy.view", "password"], password),
        SettingsError::DomainsMissing => (["privacy", "privacy.embed", "embed_domains"], privacy),
        SettingsError::DomainsUnused => (["privacy", "privacy.embed", "embed_domains"], domains),
    };
    if places.has_error(&concerned) {
        return;
    }
    let place = match &mut places.inside {
        Some(inside) if is_inside => inside,
        _ => &mut *places.top,
    };
    place.error::<()>(error.field(), &error.to_string());
}

#[cfg(test)]
mod tests;
