use super::*;

fn track(kind: TextTrackType, language: &str, name: Option<&str>, is_active: bool) -> TextTrack {
    TextTrack {
        url: Secret::new("https://canary.example/a.vtt?secret".to_owned()),
        kind,
        language: Locale::parse(language).unwrap(),
        name: name.map(|name| TextTrackName::parse(name).unwrap()),
        is_active,
        requirement: Requirement::Optional,
    }
}

fn chapter(millis: u64) -> Chapter {
    Chapter {
        starts_at: Moment::from_millis(millis).unwrap(),
        title: ChapterTitle::parse("A chapter").unwrap(),
    }
}

#[test]
fn values_of_vimeos_api_are_parsed_and_written_back() {
    for value in ["captions", "subtitles", "chapters", "descriptions", "metadata"] {
        assert_eq!(TextTrackType::parse(value).map(TextTrackType::as_str), Ok(value));
        assert!(TextTrackTypeError.to_string().contains(value));
    }
    assert_eq!(TextTrackType::parse("Captions"), Err(TextTrackTypeError));
}

#[test]
fn tracks_that_differ_in_type_language_or_name_go_together() {
    let publication = Publication {
        text_tracks: vec![
            track(TextTrackType::Captions, "en", None, true),
            track(TextTrackType::Captions, "en", Some("For children"), false),
            track(TextTrackType::Captions, "de", None, true),
            track(TextTrackType::Subtitles, "en", None, true),
        ],
        chapters: vec![chapter(0), chapter(1)],
        ..Publication::default()
    };
    assert_eq!(publication.check(), []);
    assert!(!publication.is_empty());
}

#[test]
fn all_contradictions_are_reported() {
    let publication = Publication {
        text_tracks: vec![
            track(TextTrackType::Captions, "en", None, true),
            track(TextTrackType::Captions, "en", Some("en"), true),
        ],
        chapters: vec![chapter(5), chapter(5)],
        ..Publication::default()
    };
    let errors = publication.check();
    let fields: Vec<_> = errors.iter().map(|error| error.field()).collect();
    assert_eq!(fields, ["textTracks", "textTracks", "chapters"], "{errors:?}");
}

#[test]
fn a_video_is_scheduled_up_to_a_year_ahead() {
    let now = Timestamp::from_millis(1_000_000);
    let at = |seconds: i64| now.plus_seconds(seconds);
    let max = i64::try_from(SCHEDULE_MAX_SECONDS).unwrap();
    for (seconds, expected) in [
        (-1, Some(PublishAtError::Past)),
        (0, Some(PublishAtError::Past)),
        (1, None),
        (max, None),
        (max + 1, Some(PublishAtError::TooFar)),
    ] {
        assert_eq!(check_publish_at(at(seconds), now).err(), expected, "{seconds}");
    }
}

#[test]
fn a_publication_does_not_show_its_urls() {
    let publication = Publication {
        thumbnail: Some(Thumbnail::Image(Secret::new("https://canary.example/a.png".to_owned()))),
        text_tracks: vec![track(TextTrackType::Captions, "en", Some("English"), true)],
        ..Publication::default()
    };
    assert!(!format!("{publication:?}").contains("canary"));
    assert_eq!(publication.text_tracks[0].to_string(), "captions en “English”");
}

#[test]
fn a_showcase_has_a_name_or_a_uri() {
    for uri in ["/albums/5", "https://api.vimeo.com/albums/5"] {
        assert!(matches!(Showcase::parse(uri).unwrap(), Showcase::Number(_)), "{uri}");
    }
    assert!(matches!(Showcase::parse("Talks/2026").unwrap(), Showcase::Named(_)));
    assert!(matches!(Showcase::parse("/videos/5").unwrap_err(), ShowcaseError::Uri(_)));
    assert!(matches!(Showcase::parse(" ").unwrap_err(), ShowcaseError::Name(_)));
}
