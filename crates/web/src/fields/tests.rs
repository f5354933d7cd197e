use super::*;

const NAMES: [&str; 4] = ["name", "clientSecret", "clientIdentifier", "accessToken"];

fn finish(unknown: UnknownFields, names: &[String]) -> (Vec<FieldError>, IgnoredFields) {
    let object = names.iter().map(|name| (name.clone(), Json::Null)).collect();
    Fields::new(object, Known::new(&NAMES, unknown)).finish()
}

#[test]
fn only_plain_names_are_echoed() {
    assert_eq!(safe_name("folder_uri2"), "folder_uri2");
    for name in ["", "client-secret", "a b", "caf\u{e9}", "x\r\ny", &"x".repeat(41)] {
        assert_eq!(safe_name(name), "?", "{name:?}");
    }
}

#[test]
fn some_unknown_fields_are_compared_and_the_rest_are_counted() {
    let mut names: Vec<_> = (0..COMPARED_MAX - 1).map(|number| format!("unheard_of_{number}")).collect();
    names.push("client_secret".to_owned());
    names.extend((0..2_000).map(|_| "nmae".to_owned()));
    let (errors, ignored) = finish(UnknownFields::Ignore, &names);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].errors, "is not a known field; did you mean clientSecret?");
    assert!(ignored.header_text().unwrap().ends_with("unheard_of_19, ..."));
    let (errors, _) = finish(UnknownFields::Reject, &names);
    assert_eq!(errors.len(), COMPARED_MAX + 1);
    let last = errors.last().unwrap();
    assert_eq!((&*last.name, &*last.errors), ("?", "is one of 2000 more unknown fields"));
}
