//! The steps of a run.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

const STEPS_MAX: usize = 14;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Create { size: u64, settings: usize, folder: Option<Index> },
    Replace { video: Index, size: u64 },
    Show { video: Index },
    Edit { video: Index, settings: usize },
    Delete { video: Index },
    List { query: usize },
    Head { link: Index },
    Patch { link: Index, ahead: i8, length: usize },
    MakeFolder { parent: Option<Index> },
    Place { folder: Index, video: Index },
    DropFolder { folder: Index, deletes_clips: bool },
    Control { video: Index, what: usize },
    DropVersion { version: Index },
    ShowVersion { version: Index },
    MakeTrack { video: Index, language: usize },
    FillTrack { track: Index, is_text: bool },
    ChangeTrack { track: Index, is_active: bool },
    DropTrack { track: Index },
    Tag { video: Index, words: Vec<String> },
    Grant,
    MakeCode,
    Exchange { code: Index },
    Verify { token: Index },
    Revoke { token: Index },
    PassSeconds(i64),
    Malformed { method: usize, path: String, body: String },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_index = any::<Index>;
    let step = prop_oneof![
        4 => (0_u64..60, 0..SETTINGS, prop::option::of(any_index()))
            .prop_map(|(size, settings, folder)| Step::Create { size, settings, folder }),
        1 => (any_index(), 0_u64..60).prop_map(|(video, size)| Step::Replace { video, size }),
        2 => any_index().prop_map(|video| Step::Show { video }),
        2 => (any_index(), 0..SETTINGS).prop_map(|(video, settings)| Step::Edit { video, settings }),
        1 => any_index().prop_map(|video| Step::Delete { video }),
        1 => (0..QUERIES.len()).prop_map(|query| Step::List { query }),
        3 => any_index().prop_map(|link| Step::Head { link }),
        8 => (any_index(), prop_oneof![6 => Just(0_i8), 1 => -20..20_i8], 0_usize..50)
            .prop_map(|(link, ahead, length)| Step::Patch { link, ahead, length }),
        1 => prop::option::of(any_index()).prop_map(|parent| Step::MakeFolder { parent }),
        2 => (any_index(), any_index()).prop_map(|(folder, video)| Step::Place { folder, video }),
        1 => (any_index(), any::<bool>())
            .prop_map(|(folder, deletes_clips)| Step::DropFolder { folder, deletes_clips }),
        1 => (any_index(), 0_usize..3).prop_map(|(video, what)| Step::Control { video, what }),
        1 => any_index().prop_map(|version| Step::DropVersion { version }),
        1 => any_index().prop_map(|version| Step::ShowVersion { version }),
        1 => (any_index(), 0_usize..2).prop_map(|(video, language)| Step::MakeTrack { video, language }),
        1 => (any_index(), any::<bool>()).prop_map(|(track, is_text)| Step::FillTrack { track, is_text }),
        1 => (any_index(), any::<bool>())
            .prop_map(|(track, is_active)| Step::ChangeTrack { track, is_active }),
        1 => any_index().prop_map(|track| Step::DropTrack { track }),
        1 => (any_index(), prop::collection::vec("[a-c]{1,3}", 0..12))
            .prop_map(|(video, words)| Step::Tag { video, words }),
        1 => Just(Step::Grant),
        1 => Just(Step::MakeCode),
        2 => any_index().prop_map(|code| Step::Exchange { code }),
        2 => any_index().prop_map(|token| Step::Verify { token }),
        1 => any_index().prop_map(|token| Step::Revoke { token }),
        1 => (0_i64..5).prop_map(Step::PassSeconds),
        1 => Just(Step::PassSeconds(600)),
        1 => (0..METHODS.len(), "/[a-z0-9/:.%?=&_-]{0,30}", "[ -~]{0,30}")
            .prop_map(|(method, path, body)| Step::Malformed { method, path, body }),
    ];
    prop::collection::vec(step, 1..=STEPS_MAX)
}

pub(super) const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"];
pub(super) const QUERIES: [&str; 6] = [
    "",
    "?per_page=1&page=2",
    "?fields=uri,upload.status&fields=uri",
    "?sort=alphabetical&direction=desc&query=a",
    "?per_page=0",
    "?page=18446744073709551615&per_page=100",
];
pub(super) const SETTINGS: usize = 8;

/// Settings, valid and invalid.
pub(super) fn settings(choice: usize) -> Value {
    match choice {
        0 => json!({}),
        1 => json!({"name": "A", "description": null, "privacy": {"view": "nobody"}}),
        2 => json!({"privacy": {"view": "unlisted", "embed": "whitelist"}, "embed_domains": ["example.com"]}),
        3 => json!({"privacy": {"view": "password"}, "password": "sesame"}),
        4 => json!({"privacy": {"view": "password"}}),
        5 => json!({"name": 7, "content_rating": [1, null], "privacy": []}),
        6 => json!({"license": "by", "content_rating": ["safe"], "embed": {"buttons": {"like": false}}}),
        _ => json!({"embed_domains": "example.com", "locale": "xx"}),
    }
}
