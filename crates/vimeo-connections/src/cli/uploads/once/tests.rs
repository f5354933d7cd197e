use domain::moment::Moment;
use domain::publication::Publication;
use domain::time::Timestamp;
use domain::upload::{
    Comments, ContentRating, Domain, Embed, FolderName, License, Locale, VideoDescription, VideoName,
    VideoPassword, View,
};
use domain::video::VideoNumber;

use super::*;

#[test]
fn what_differs_has_another_name_or_another_body_and_no_name_depends_on_a_password() {
    let of = |settings| VideoOptions { settings, replaces: None, publish_at: None };
    let plain = of(UploadSettings::default());
    let locked = |password| {
        of(UploadSettings {
            password: Some(VideoPassword::parse(password).unwrap()),
            ..UploadSettings::default()
        })
    };
    let one = Wanted::new("c", "/a 1", &locked("canary"));
    assert!(one.name.starts_with("cli-upload-") && one.name.len() == 43, "{}", one.name);
    assert!(!one.body.contains("canary"));
    let other = Wanted::new("c", "/a 1", &locked("other"));
    assert_eq!(one.name, other.name);
    assert_ne!(one.body, other.body);
    for (connection, source, settings) in
        [("d", "/a 1", &locked("canary")), ("c", "/a 2", &locked("canary")), ("c", "/a 1", &plain)]
    {
        assert_ne!(one.name, Wanted::new(connection, source, settings).name);
    }
    assert_eq!(one.key(1).unwrap().as_str(), one.name);
    assert_eq!(one.key(3).unwrap().as_str(), format!("{}-3", one.name));
}

/// One version must find the upload that another one started: these texts never change.
#[test]
fn a_request_is_encoded_alike_by_every_build() {
    let plain = Wanted::new("c", "/film.mp4 9 8 7", &VideoOptions::default());
    let said = "vimeo-connections cli upload, version 1\nconnection 1 c\nsource 15 /film.mp4 9 8 7\n";
    assert_eq!(plain.body, said);
    assert_eq!(plain.name, "cli-upload-003626f70d519a142310c4e400971860");
    let privacy = Privacy {
        view: View::parse("unlisted").ok(),
        embed: Embed::parse("whitelist").ok(),
        comments: Comments::parse("contacts").ok(),
        is_downloadable: Some(false),
        is_addable: Some(true),
    };
    let all = UploadSettings {
        name: VideoName::parse("A film").ok(),
        description: VideoDescription::parse("of a day").ok(),
        privacy,
        password: None,
        embed_domains: vec![Domain::parse("example.com").unwrap(), Domain::parse("example.org").unwrap()],
        content_rating: vec![ContentRating::parse("safe").unwrap()],
        folder: FolderName::parse("Holidays").ok().map(Folder::Named),
        license: License::parse("by-nc").ok(),
        locale: Locale::parse("en").ok(),
        publication: Publication {
            thumbnail: Moment::from_millis(500).ok().map(Thumbnail::At),
            ..Publication::default()
        },
    };
    let expected = "\
view 8 unlisted
embed 9 whitelist
comments 8 contacts
download 5 false
add 4 true
embed_domain 11 example.com
embed_domain 11 example.org
content_rating 4 safe
folder_name 8 Holidays
license 5 by-nc
locale 2 en
thumbnail_millis 3 500
replaces 9 /videos/7
publish_at 24 2026-01-31T09:05:00.000Z
";
    let options = VideoOptions {
        settings: all,
        replaces: VideoNumber::parse_uri("/videos/7"),
        publish_at: Timestamp::parse("2026-01-31T09:05:00Z").ok(),
    };
    let encoded = encode("c", "s", &options);
    assert!(encoded.ends_with(expected), "{encoded}");
}
