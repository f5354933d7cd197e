//! The scopes of a token, in the order of the request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Every scope that Vimeo has. `ai` is newer than the published list.
const KNOWN: [&str; 14] = [
    "public",
    "private",
    "create",
    "edit",
    "delete",
    "interact",
    "upload",
    "video_files",
    "stats",
    "promo_codes",
    "purchased",
    "purchase",
    "email",
    "ai",
];

const PUBLIC: &str = "public";
/// Required by every scope other than `public`.
const PRIVATE: &str = "private";

/// The scopes of a request that names none.
const DEFAULT_WISH: &str = "public private";

/// Vimeo has no such scope, but integration guides name it. A test needs tokens that claim it, to show that a service
/// neither relies on it nor fails on it.
const DOCUMENTED_BUT_NONEXISTENT: &str = "video";

/// The scopes of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Scopes(Vec<String>);

impl Scopes {
    pub(crate) fn all() -> Self {
        Self(KNOWN.into_iter().map(str::to_owned).collect())
    }

    /// Parses known scopes (and the one that is only documented), each once.
    ///
    /// # Errors
    /// A sentence that names the first unknown scope.
    pub(crate) fn parse<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut scopes: Vec<String> = Vec::new();
        for name in names {
            if !KNOWN.contains(&name) && name != DOCUMENTED_BUT_NONEXISTENT {
                return Err(format!(
                    "Vimeo has no scope `{name}`; it has {}. (`{DOCUMENTED_BUT_NONEXISTENT}` is accepted \
                     although it does not exist.)",
                    KNOWN.join(", ")
                ));
            }
            if !scopes.iter().any(|scope| scope == name) {
                scopes.push(name.to_owned());
            }
        }
        if scopes.is_empty() {
            return Err("A token needs at least one scope.".to_owned());
        }
        Ok(Self(scopes))
    }

    /// The scopes that a client-credentials grant returns: those requested that exist, and always `public`.
    pub(crate) fn granted(asked: &str) -> Self {
        let mut scopes = vec!["public".to_owned()];
        for name in asked.split_ascii_whitespace() {
            if KNOWN.contains(&name) && !scopes.iter().any(|scope| scope == name) {
                scopes.push(name.to_owned());
            }
        }
        Self(scopes)
    }

    /// The scopes that a user is asked for, and the requested words that are not scopes. Without a request they are the
    /// two of Vimeo's guide; an empty result becomes `public`; scopes that need `private` add it.
    pub(crate) fn requested(asked: Option<&str>) -> (Self, Vec<String>) {
        let asked = asked.filter(|text| !text.trim_ascii().is_empty()).unwrap_or(DEFAULT_WISH);
        let (mut scopes, mut unknown): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for name in asked.split_ascii_whitespace() {
            let list = if KNOWN.contains(&name) { &mut scopes } else { &mut unknown };
            if !list.iter().any(|known| known == name) {
                list.push(name.to_owned());
            }
        }
        if scopes.is_empty() {
            scopes.push(PUBLIC.to_owned());
        }
        if scopes.iter().any(|name| name != PUBLIC) && !scopes.iter().any(|name| name == PRIVATE) {
            let place = scopes.iter().take_while(|name| *name == PUBLIC).count();
            scopes.insert(place, PRIVATE.to_owned());
        }
        (Self(scopes), unknown)
    }

    /// The scopes that remain when a user keeps some: without `private` only `public`. `None` if none remain.
    pub(crate) fn kept(&self, is_kept: impl Fn(&str) -> bool) -> Option<Self> {
        let may_more = self.contains(PRIVATE) && is_kept(PRIVATE);
        let stays = |name: &&String| is_kept(name) && (may_more || *name == PUBLIC);
        let scopes: Vec<String> = self.0.iter().filter(stays).cloned().collect();
        (!scopes.is_empty()).then_some(Self(scopes))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|scope| scope == name)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// What a scope allows, in a line for the user.
pub(crate) fn meaning(name: &str) -> &'static str {
    match name {
        "public" => "See what is public about you and your videos",
        "private" => "See your private videos, folders and account details",
        "create" => "Create showcases, channels and folders",
        "edit" => "Change your videos and folders, and who may see them",
        "delete" => "Delete your videos and folders",
        "interact" => "Like, follow and comment as you, and put videos into folders",
        "upload" => "Upload videos, thumbnails and subtitles to your account",
        "video_files" => "Get direct links to your video files",
        "stats" => "See the statistics of your videos",
        "promo_codes" => "Manage the promotions of what you sell on demand",
        "purchased" => "See what you have bought on demand",
        "purchase" => "Buy videos on demand as you",
        "email" => "See your email address",
        "ai" => "Use the AI features on your videos",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(asked: &str) -> (String, String) {
        let (scopes, unknown) = Scopes::requested(Some(asked));
        (scopes.to_string(), unknown.join(" "))
    }

    #[test]
    fn every_scope_has_a_line_for_users() {
        assert!(KNOWN.iter().all(|name| !meaning(name).is_empty()));
    }

    #[test]
    fn a_wish_brings_what_it_needs_and_leaves_what_does_not_exist() {
        for (asked, scopes, unknown) in [
            ("public", "public", ""),
            ("", "public private", ""),
            (" \t", "public private", ""),
            ("upload", "private upload", ""),
            ("public upload edit", "public private upload edit", ""),
            ("upload  public upload", "private upload public", ""),
            ("video", "public", "video"),
            ("video private video Public", "private", "video Public"),
            ("p u b l i c", "public", "p u b l i c"),
        ] {
            assert_eq!(requested(asked), (scopes.to_owned(), unknown.to_owned()), "{asked}");
        }
        assert_eq!(Scopes::requested(None).0.to_string(), "public private");
    }

    #[test]
    fn without_private_only_public_is_left() {
        let (scopes, _) = Scopes::requested(Some("public private upload"));
        let kept = |names: &[&str]| scopes.kept(|name| names.contains(&name)).map(|left| left.to_string());
        assert_eq!(kept(&["public", "private", "upload"]), Some("public private upload".to_owned()));
        assert_eq!(kept(&["private", "upload", "delete"]), Some("private upload".to_owned()));
        assert_eq!(kept(&["public", "upload"]), Some("public".to_owned()));
        assert_eq!(kept(&["upload"]), None);
        assert_eq!(kept(&[]), None);
    }
}
