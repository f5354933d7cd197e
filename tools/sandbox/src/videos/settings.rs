//! The settings in a body: parsed, validated, and applied completely or not at all.

use serde_json::{Map, Value};

use super::views::{self, VIEWS};
use crate::api_request::ErrorResponse;
use crate::catalogue::{CONTENT_RATINGS, LICENSES, is_language};
use crate::errors::{self, Invalid};
use crate::limits::Plan;
use crate::state::{DOMAINS_MAX, Settings, User};

const EMBEDS: [&str; 3] = ["private", "public", "whitelist"];
const COMMENTS: [&str; 3] = ["anybody", "contacts", "nobody"];
const NAME_CHARACTERS_MAX: usize = 128;
const DESCRIPTION_CHARACTERS_MAX: usize = 5000;

/// The user who makes a change, and their plan.
#[derive(Clone, Copy)]
pub(crate) struct EditContext<'a> {
    pub(crate) user: &'a User,
    pub(crate) plan: Plan,
}

/// Applies the members of a body to settings. Members unknown to Vimeo are ignored, including those with dots in their
/// names.
///
/// # Errors
/// A response that names every invalid member, or the setting that the user's plan does not include.
pub(crate) fn apply(
    members: &Map<String, Value>,
    settings: &mut Settings,
    context: EditContext<'_>,
) -> Result<(), ErrorResponse> {
    let mut invalid = InvalidFields(Vec::new());
    read_texts(members, settings, &mut invalid);
    read_choices(members, settings, &mut invalid);
    read_privacy(members, settings, &mut invalid, context)?;
    read_domains(members, settings, &mut invalid);
    for (name, kept) in [("embed", &mut settings.embed), ("spatial", &mut settings.spatial)] {
        match members.get(name) {
            Some(Value::Object(object)) => *kept = Value::Object(object.clone()),
            None | Some(Value::Null) => {}
            Some(_) => invalid.add(name, 2204, "must be an object"),
        }
    }
    if invalid.0.is_empty() { Ok(()) } else { Err(errors::invalid(&invalid.0).into()) }
}

struct InvalidFields(Vec<Invalid>);

impl InvalidFields {
    fn add(&mut self, field: &str, code: u32, what: &str) {
        self.0.push(Invalid::new(field, code, what));
    }
}

fn read_texts(members: &Map<String, Value>, settings: &mut Settings, invalid: &mut InvalidFields) {
    match members.get("name") {
        None => {}
        Some(Value::String(name)) if name.chars().count() > NAME_CHARACTERS_MAX => {
            invalid.add("name", 2250, "has more than 128 characters");
        }
        Some(Value::String(name)) if name.trim().is_empty() => "Untitled".clone_into(&mut settings.name),
        Some(Value::String(name)) => settings.name.clone_from(name),
        Some(_) => invalid.add("name", 2249, "must be a string"),
    }
    match members.get("description") {
        None => {}
        Some(Value::Null) => settings.description = None,
        Some(Value::String(text)) if text.chars().count() > DESCRIPTION_CHARACTERS_MAX => {
            invalid.add("description", 2252, "has more than 5000 characters");
        }
        Some(Value::String(text)) => settings.description = Some(text.clone()),
        Some(_) => invalid.add("description", 2251, "must be a string"),
    }
    match members.get("password") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => invalid.add("password", 2273, "must not be empty"),
        Some(Value::String(text)) => settings.password = Some(text.clone()),
        Some(_) => invalid.add("password", 2273, "must be a string"),
    }
}

fn read_choices(members: &Map<String, Value>, settings: &mut Settings, invalid: &mut InvalidFields) {
    let known = |list: &[(&str, &str)], code: &str| list.iter().any(|(known, _)| *known == code);
    match members.get("license") {
        None => {}
        Some(Value::Null) => settings.license = None,
        Some(Value::String(code)) if known(&LICENSES, code) => settings.license = Some(code.clone()),
        Some(_) => invalid.add("license", 2234, "is not a licence in GET /creativecommons"),
    }
    match members.get("locale") {
        None => {}
        Some(Value::Null) => settings.locale = None,
        Some(Value::String(code)) if is_language(code) => settings.locale = Some(code.clone()),
        Some(_) => invalid.add("locale", 2235, "is not a language"),
    }
    match members.get("content_rating") {
        None | Some(Value::Null) => {}
        Some(Value::Array(codes)) if !codes.is_empty() => {
            let codes: Option<Vec<&str>> = codes.iter().map(Value::as_str).collect();
            match codes.filter(|codes| codes.iter().all(|code| known(&CONTENT_RATINGS, code))) {
                Some(codes) => settings.content_rating = codes.into_iter().map(str::to_owned).collect(),
                None => {
                    invalid.add("content_rating", 2259, "has a rating that is not in GET /contentratings");
                }
            }
        }
        Some(_) => invalid.add("content_rating", 2259, "must be an array of ratings"),
    }
    read_bool(members.get("hide_from_vimeo"), &mut settings.is_hidden_from_vimeo, || {
        invalid.add("hide_from_vimeo", 2204, "must be true or false");
    });
    let active = members.get("review_page").and_then(|page| page.get("active"));
    read_bool(active, &mut settings.has_review_page, || {
        invalid.add("review_page.active", 2204, "must be true or false");
    });
}

fn read_bool(value: Option<&Value>, kept: &mut bool, invalid_field: impl FnOnce()) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Bool(boolean)) => *kept = *boolean,
        Some(_) => invalid_field(),
    }
}

fn read_choice(value: Option<&Value>, known: &[&str], kept: &mut String, invalid_field: impl FnOnce()) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if known.contains(&text.as_str()) => kept.clone_from(text),
        Some(_) => invalid_field(),
    }
}

fn read_privacy(
    members: &Map<String, Value>,
    settings: &mut Settings,
    invalid: &mut InvalidFields,
    context: EditContext<'_>,
) -> Result<(), ErrorResponse> {
    let privacy = match members.get("privacy") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(privacy)) => privacy,
        Some(_) => {
            invalid.add("privacy", 2204, "must be an object");
            return Ok(());
        }
    };
    let kept = &mut settings.privacy;
    let before = kept.clone();
    read_choice(privacy.get("view"), &VIEWS, &mut kept.view, || {
        invalid.add("privacy.view", 2232, "has a value that does not exist");
    });
    if privacy.contains_key("view") {
        check_view(&kept.view, invalid, context)?;
        if kept.view == "password" && settings.password.is_none() {
            invalid.add("password", 2233, "is missing, and privacy.view is password");
        }
    }
    read_choice(privacy.get("embed"), &EMBEDS, &mut kept.embed, || {
        invalid.add("privacy.embed", 2239, "must be private, public or whitelist");
    });
    read_choice(privacy.get("comments"), &COMMENTS, &mut kept.comments, || {
        invalid.add("privacy.comments", 2240, "must be anybody, contacts or nobody");
    });
    read_bool(privacy.get("download"), &mut kept.download, || {
        invalid.add("privacy.download", 2238, "must be true or false");
    });
    read_bool(privacy.get("add"), &mut kept.add, || {
        invalid.add("privacy.add", 2237, "must be true or false");
    });
    if kept.download && !before.download && context.plan.is_free() {
        // The code that Vimeo returned; the other one is for values that are not booleans.
        invalid.add("privacy.download", 2204, "cannot be set on this plan");
    }
    Ok(())
}

/// Rejects views that the plan, or this user, may not choose.
fn check_view(
    view: &str,
    invalid: &mut InvalidFields,
    context: EditContext<'_>,
) -> Result<(), ErrorResponse> {
    if views::is_allowed(context.user, context.plan, view) {
        return Ok(());
    }
    let code = match view {
        "anybody" | "nobody" => 2409,
        "users" => 2410,
        "disable" => 2411,
        "contacts" => 2412,
        _ => {
            invalid.add("privacy.view", 2232, "has a value that this plan does not have");
            return Ok(());
        }
    };
    Err(errors::plan_forbids_view(code, view).into())
}

fn read_domains(members: &Map<String, Value>, settings: &mut Settings, invalid: &mut InvalidFields) {
    let domains = match members.get("embed_domains") {
        None | Some(Value::Null) => return,
        Some(Value::Array(domains)) => domains,
        Some(_) => return invalid.add("embed_domains", 2204, "must be an array of domains"),
    };
    let names: Option<Vec<&str>> = domains.iter().map(Value::as_str).collect();
    let names = names.filter(|names| names.iter().all(|name| is_domain(name)));
    match names {
        None => invalid.add("embed_domains", 2204, "must be domains without scheme and path"),
        Some(names) if names.len() > DOMAINS_MAX => {
            invalid.add("embed_domains", 2204, "has more than 50 domains");
        }
        Some(_) if settings.privacy.embed != "whitelist" => {
            invalid.add("embed_domains", 2204, "needs privacy.embed to be whitelist");
        }
        Some(names) => settings.domains = names.into_iter().map(str::to_ascii_lowercase).collect(),
    }
}

/// Whether it is a host name, optionally with a port, without scheme and path.
pub(crate) fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253
        && host.split('.').all(|label| label == "*" || is_label(label))
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_neither_scheme_nor_path() {
        for good in ["example.com", "www.example.com", "localhost:3000", "*.example.com", "bücher.example"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in
            ["", "https://example.com", "example.com/a", "a b", "-a.com", "example..com", "example.com:x"]
        {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
