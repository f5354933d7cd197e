//! Invalid requests to create a connection, each with the exact response.
//!
//! Every value has `canary` in it where it can, and no response may.

use serde_json::{Value, json};

pub(crate) const BLANK: &str = "must not be empty or blank";
pub(crate) const LONG_NAME: &str = "must be at most 100 characters long";
pub(crate) const CHARACTER: &str = "must contain only letters, digits, spaces, hyphens and underscores";
pub(crate) const MARK: &str = "must not start with a combining mark";
pub(crate) const INVISIBLE: &str = "must not contain invisible characters";
/// All errors of a value are reported together.
pub(crate) const BOTH: &str = "must contain only letters, digits, spaces, hyphens and underscores; must not contain invisible characters";
pub(crate) const LONG_DESCRIPTION: &str = "must be at most 250 characters long";
pub(crate) const CONTROL: &str = "must not contain control characters other than line breaks and tabs";
pub(crate) const EMPTY: &str = "must not be empty";
pub(crate) const LONG_CREDENTIAL: &str = "must be at most 500 characters long";
pub(crate) const VISIBLE: &str = "must contain only visible ASCII characters, without spaces or line breaks";
pub(crate) const LINE_BREAK: &str = "has a line break at its end: remove it";
pub(crate) const SPACE: &str = "has a space or an invisible character at its start or end: remove it";
pub(crate) const SCHEME: &str = "starts with `Bearer `: send only what follows it";
pub(crate) const QUOTES: &str = "is in quotation marks: remove them";
pub(crate) const REQUIRED: &str = "is required";
pub(crate) const TEXT: &str = "must be a string";
pub(crate) const TEXT_OR_NULL: &str = "must be a string or null";
pub(crate) const FLAG: &str = "must be true or false";
pub(crate) const TOO_LARGE: &str =
    r#"{"code":"BODY_TOO_LARGE","message":"The request body is larger than 64 KiB."}"#;
pub(crate) const MEDIA_TYPE: &str = r#"{"code":"UNSUPPORTED_MEDIA_TYPE","message":"The request body must be application/json and not compressed."}"#;
pub(crate) const BODY_MAX_BYTES: usize = 65_536;
pub(crate) const CREDENTIALS: [&str; 3] = ["clientIdentifier", "clientSecret", "accessToken"];
pub(crate) const JSON_TYPE: (&str, &str) = ("content-type", "application/json");

/// An invalid request and its response.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) answer: String,
}

pub(crate) fn good() -> Value {
    json!({
        "name": "canary name",
        "description": "canary description",
        "enabled": true,
        "clientIdentifier": "canary-identifier",
        "clientSecret": "canary-secret",
        "accessToken": "canary-token",
    })
}

pub(crate) fn with(field: &str, value: Value) -> Value {
    let mut body = good();
    body[field] = value;
    body
}

pub(crate) fn without(field: &str) -> Value {
    let mut body = good();
    body.as_object_mut().unwrap().remove(field);
    body
}

/// A valid body with something before its fields: raw JSON without the comma.
pub(crate) fn good_after(members: &str) -> Vec<u8> {
    format!("{{{members},{}", &good().to_string()[1..]).into_bytes()
}

/// The whole response that lists these fields.
pub(crate) fn faulty(faults: &[(&str, &str)]) -> String {
    let entries: Vec<_> =
        faults.iter().map(|(name, errors)| format!(r#"{{"name":"{name}","errors":"{errors}"}}"#)).collect();
    let (name, errors) = faults[0];
    let name = if name == "?" { "a name" } else { name };
    let end = if errors.ends_with('?') { "" } else { "." };
    let more =
        if entries.len() > 1 { format!(" {} more in `fields`.", entries.len() - 1) } else { String::new() };
    let message = format!("The request body is not valid: {name} {errors}{end}{more}");
    format!(r#"{{"code":"INVALID_REQUEST_BODY","message":"{message}","fields":[{}]}}"#, entries.join(","))
}

pub(crate) fn row(what: impl Into<String>, body: impl Into<Vec<u8>>, answer: String) -> Row {
    Row { what: what.into(), headers: vec![JSON_TYPE], body: body.into(), status: 400, answer }
}

pub(crate) fn field_row(field: &str, value: Value, errors: &str) -> Row {
    let what: String = format!("{field} = {value}").chars().take(80).collect();
    row(what, with(field, value).to_string(), faulty(&[(field, errors)]))
}

pub(crate) fn names() -> Vec<Row> {
    let long_after_nfc = "\u{fb2c}".repeat(34);
    let texts = [
        ("", BLANK),
        (" ", BLANK),
        ("     ", BLANK),
        (&"n".repeat(101), LONG_NAME),
        (&"\u{20000}".repeat(101), LONG_NAME),
        (&"e\u{301}".repeat(101), LONG_NAME),
        // One scalar value each as sent, three each when composed.
        (&long_after_nfc, LONG_NAME),
        (&" ".repeat(101), BLANK),
        ("canary.name", CHARACTER),
        ("canary/name", CHARACTER),
        ("canary\"name", CHARACTER),
        ("canary'name", CHARACTER),
        ("<b>canary</b>", CHARACTER),
        ("canary\\name", CHARACTER),
        ("canary\tname", CHARACTER),
        ("canary\nname", CHARACTER),
        ("canary\rname", CHARACTER),
        ("canary\u{0}name", CHARACTER),
        ("canary\u{1b}[31m", CHARACTER),
        ("canary\u{7f}", CHARACTER),
        ("canary\u{85}", CHARACTER),
        ("canary\u{a0}name", CHARACTER),
        ("canary\u{2003}name", CHARACTER),
        ("canary\u{2028}name", CHARACTER),
        ("canary\u{3000}name", CHARACTER),
        ("canary\u{2013}name", CHARACTER),
        ("canary\u{ff3f}name", CHARACTER),
        ("canary\u{b2}", CHARACTER),
        ("canary\u{bd}", CHARACTER),
        ("canary\u{2167}", CHARACTER),
        ("canary\u{2460}", CHARACTER),
        ("canary\u{e000}", CHARACTER),
        ("canary\u{378}", CHARACTER),
        ("canary\u{ffff}", CHARACTER),
        ("canary \u{1f600}", CHARACTER),
        ("canary \u{2764}", CHARACTER),
        ("canary \u{2764}\u{fe0f}", BOTH),
        ("\u{1f468}\u{200d}\u{1f469} canary", BOTH),
        ("\u{915}\u{94d}\u{200d}\u{937} canary", INVISIBLE),
        ("\u{645}\u{6cc}\u{200c}\u{62e} canary", INVISIBLE),
        ("canary\u{fe00}", INVISIBLE),
        ("canary\u{e0100}", INVISIBLE),
        ("canary\u{34f}", INVISIBLE),
        ("canary\u{ad}", INVISIBLE),
        ("canary\u{200b}", INVISIBLE),
        ("canary\u{202e}", INVISIBLE),
        ("canary\u{2060}", INVISIBLE),
        ("\u{feff}canary", INVISIBLE),
        ("canary\u{e0041}", INVISIBLE),
        ("\u{3164}", INVISIBLE),
        ("\u{ffa0}", INVISIBLE),
        ("\u{115f}", INVISIBLE),
        ("\u{301}canary", MARK),
        ("\u{20e3}canary", MARK),
        ("\u{93f}canary", MARK),
    ];
    texts.map(|(name, errors)| field_row("name", json!(name), errors)).into()
}

pub(crate) fn descriptions() -> Vec<Row> {
    let texts = [
        ("d".repeat(251), LONG_DESCRIPTION),
        ("\u{1f600}".repeat(251), LONG_DESCRIPTION),
        ("e\u{301}".repeat(126), LONG_DESCRIPTION),
        ("canary\u{0}".to_owned(), CONTROL),
        ("canary\u{1b}[2J".to_owned(), CONTROL),
        ("canary\u{b}".to_owned(), CONTROL),
        ("canary\u{7f}".to_owned(), CONTROL),
        ("canary\u{85}".to_owned(), CONTROL),
    ];
    texts.map(|(text, errors)| field_row("description", json!(text), errors)).into()
}

pub(crate) fn credentials() -> Vec<Row> {
    let texts = [
        (String::new(), EMPTY),
        ("c".repeat(501), LONG_CREDENTIAL),
        ("canary canary".to_owned(), VISIBLE),
        ("canary\n".to_owned(), LINE_BREAK),
        ("canary\r\n".to_owned(), LINE_BREAK),
        ("\tcanary".to_owned(), SPACE),
        ("canary\u{200b}".to_owned(), SPACE),
        ("Bearer canary".to_owned(), SCHEME),
        ("bearer canary".to_owned(), SCHEME),
        ("\u{201c}canary\u{201d}".to_owned(), QUOTES),
        ("canary\u{0}".to_owned(), VISIBLE),
        ("can\u{e9}ary".to_owned(), VISIBLE),
        ("canary\u{ff01}".to_owned(), VISIBLE),
    ];
    CREDENTIALS
        .iter()
        .flat_map(|field| texts.clone().map(|(text, errors)| field_row(field, json!(text), errors)))
        .collect()
}

pub(crate) fn types_and_absences() -> Vec<Row> {
    let others = [json!(31337), json!(1.5), json!(true), json!(["canary"]), json!({"canary": "canary"})];
    let mut rows = Vec::new();
    for value in &others {
        rows.extend(
            ["name", "clientIdentifier", "clientSecret", "accessToken"]
                .map(|field| field_row(field, value.clone(), TEXT)),
        );
        rows.push(field_row("description", value.clone(), TEXT_OR_NULL));
    }
    rows.extend(
        ["name", "clientIdentifier", "clientSecret", "accessToken"]
            .map(|field| field_row(field, Value::Null, TEXT)),
    );
    let no_flags =
        [json!("true"), json!("canary"), json!(1), json!(0), json!(null), json!([true]), json!({"a": 1})];
    rows.extend(no_flags.map(|value| field_row("enabled", value, FLAG)));
    for field in ["name", "enabled", "clientIdentifier", "clientSecret", "accessToken"] {
        rows.push(row(format!("no {field}"), without(field).to_string(), faulty(&[(field, REQUIRED)])));
    }
    let all =
        [("name", REQUIRED), ("enabled", REQUIRED), (CREDENTIALS[0], REQUIRED), (CREDENTIALS[1], REQUIRED)];
    rows.push(row("nothing", "{}", faulty(&[&all[..], &[(CREDENTIALS[2], REQUIRED)]].concat())));
    let mut two = without("accessToken");
    two["name"] = json!("canary!");
    rows.push(row("two faults", two.to_string(), faulty(&[("name", CHARACTER), ("accessToken", REQUIRED)])));
    let everything = json!({
        "accessToken": "", "clientSecret": "canary canary", "clientIdentifier": 7, "enabled": "true",
        "description": "d".repeat(251), "name": "  ", "Nam": "canary",
    });
    let faults = [
        ("name", BLANK),
        ("description", LONG_DESCRIPTION),
        ("enabled", FLAG),
        ("clientIdentifier", TEXT),
        ("clientSecret", VISIBLE),
        ("accessToken", EMPTY),
        ("Nam", "is not a known field; did you mean name?"),
    ];
    rows.push(row("every field is faulty", everything.to_string(), faulty(&faults)));
    rows
}

pub(crate) fn near_misses() -> Vec<Row> {
    let near = |known: &str| format!("is not a known field; did you mean {known}?");
    let pairs = [
        ("Name", "Name", "name"),
        ("NAME", "NAME", "name"),
        ("na_me", "na_me", "name"),
        ("n_a_m_e", "n_a_m_e", "name"),
        ("nmae", "nmae", "name"),
        ("nam", "nam", "name"),
        ("na", "na", "name"),
        ("name-", "?", "name"),
        ("nam\u{e9}", "?", "name"),
        ("discription", "discription", "description"),
        ("Enabled", "Enabled", "enabled"),
        ("enable", "enable", "enabled"),
        ("client_secret", "client_secret", "clientSecret"),
        ("client-secret", "?", "clientSecret"),
        ("CLIENT_IDENTIFIER", "CLIENT_IDENTIFIER", "clientIdentifier"),
        ("clientIdentifer", "clientIdentifer", "clientIdentifier"),
        ("accesstoken", "accesstoken", "accessToken"),
        ("acessTokn", "acessTokn", "accessToken"),
        ("connection_id", "connection_id", "connectionId"),
        ("Type", "Type", "type"),
        ("versions", "versions", "version"),
        ("created_date", "created_date", "createdDate"),
    ];
    let mut rows: Vec<_> = pairs
        .iter()
        .map(|(sent, shown, known)| {
            row(
                format!("the field {sent}"),
                with(sent, json!("canary")).to_string(),
                faulty(&[(shown, &near(known))]),
            )
        })
        .collect();
    let mut renamed = without("clientSecret");
    renamed["client_secret"] = json!("canary");
    let faults = [("clientSecret", REQUIRED), ("client_secret", &near("clientSecret"))];
    rows.push(row("client_secret instead", renamed.to_string(), faulty(&faults)));
    rows
}

pub(crate) fn too_large_number() -> String {
    let message = "The request body has a number that is too large (line 1, column 16).";
    format!(r#"{{"code":"INVALID_REQUEST_BODY","message":"{message}"}}"#)
}

/// Malformed JSON, or JSON that is not an object: a message, and no list of fields.
pub(crate) fn syntax() -> Vec<Row> {
    let wrong = |message: &str| format!(r#"{{"code":"INVALID_REQUEST_BODY","message":"{message}"}}"#);
    let at = |line: usize, column: usize| {
        wrong(&format!("The request body is not valid JSON (line {line}, column {column})."))
    };
    let twice = |column: usize| {
        wrong(&format!("The request body is not valid JSON: a key is given twice (line 1, column {column})."))
    };
    let no_utf8 = || wrong("The request body is not valid JSON: it is not UTF-8.");
    let no_object = || wrong("The request body must be a JSON object.");
    let deep = format!("\"meta\":{}1{}", "[".repeat(128), "]".repeat(128));
    let mut rows = vec![
        row("empty", "", wrong("The request body is empty; it must be a JSON object.")),
        row("blank", " \n ", at(2, 1)),
        row("a form", "name=canary&enabled=true", at(1, 2)),
        row("half an object", r#"{"name":"canary""#, at(1, 16)),
        row("half a text", r#"{"name":"canary"#, at(1, 15)),
        row("no value", r#"{"name":}"#, at(1, 9)),
        row("no colon", r#"{"name" "canary"}"#, at(1, 9)),
        row("a comma at the end", r#"{"name":"canary",}"#, at(1, 18)),
        row("a bracket that does not fit", r#"{"name":"canary"]"#, at(1, 17)),
        row("single quotes", "{'name':'canary'}", at(1, 2)),
        row("a bare key", "{canary:1}", at(1, 2)),
        row("a number for a key", r#"{1:"canary"}"#, at(1, 2)),
        row("a comment", "{// canary\n\"name\":1}", at(1, 2)),
        row("a comment at the end", "{\"name\":\"canary\"}/* canary */", at(1, 18)),
        row("trailing garbage", r#"{"name":"canary"}canary"#, at(1, 18)),
        row("two objects", "{}\n{}", at(2, 1)),
        row("NaN", r#"{"canary":NaN}"#, at(1, 11)),
        row("Infinity", r#"{"canary":-Infinity}"#, at(1, 12)),
        row("True", r#"{"enabled":True}"#, at(1, 12)),
        row("undefined", r#"{"canary":undefined}"#, at(1, 11)),
        row("a leading zero", r#"{"canary":01}"#, at(1, 12)),
        row("a plus sign", r#"{"canary":+1}"#, at(1, 11)),
        row("no digit before the point", r#"{"canary":.5}"#, at(1, 11)),
        row("no digit after the point", r#"{"canary":1.}"#, at(1, 13)),
        row("hexadecimal", r#"{"canary":0x1F}"#, at(1, 12)),
        // A limit of the parser, which RFC 8259 permits.
        row("a number beyond all floats", r#"{"canary":[1e400]}"#, too_large_number()),
        row("an unknown escape", r#"{"name":"\x63anary"}"#, at(1, 11)),
        row("a short escape", r#"{"name":"\u00"}"#, at(1, 15)),
        row("a raw line break", "{\"name\":\"canary\n\"}", at(1, 15)),
        row("a raw NUL", "{\"name\":\"canary\u{0}\"}", at(1, 15)),
        row("a raw control character in an ignored field", good_after("\"meta\":\"\u{1}\""), at(1, 9)),
        row("nesting beyond all need", good_after(&deep), at(1, 136)),
        row("a byte order mark", format!("\u{feff}{}", good()), at(1, 1)),
        row("UTF-16", b"{\0\"\0a\0\"\0:\0\x31\0}\0".to_vec(), at(1, 2)),
        row("Latin-1", b"{\"name\":\"caf\xe9 canary\"}".to_vec(), no_utf8()),
        row("an overlong encoding", b"{\"name\":\"canary\xc0\xaf\"}".to_vec(), no_utf8()),
        row("a surrogate in UTF-8", b"{\"name\":\"canary\xed\xa0\x80\"}".to_vec(), no_utf8()),
        row("invalid UTF-8 in a key", b"{\"canary\xff\":1}".to_vec(), no_utf8()),
        row("a lone high surrogate", r#"{"name":"canary\ud83d"}"#, at(1, 22)),
        row("a high surrogate before a letter", r#"{"name":"\ud83dcanary"}"#, at(1, 16)),
        row("a high surrogate before an escape", r#"{"name":"\ud83d\u0041"}"#, at(1, 21)),
        row("a lone low surrogate", r#"{"name":"canary\ude00"}"#, at(1, 21)),
        row("surrogates in the wrong order", r#"{"name":"\ude00\ud83d"}"#, at(1, 15)),
        row("a lone surrogate in a key", r#"{"canary\ud83d":1}"#, at(1, 15)),
        row("a lone surrogate in an ignored field", good_after(r#""meta":{"a":["\ud83d"]}"#), at(1, 22)),
        row("a lone surrogate in a service-set field", good_after(r#""type":"\udc00""#), at(1, 15)),
        row("a key twice", good_after(r#""name":"canary""#), twice(23)),
        row("a key twice, once escaped", good_after(r#""n\u0061me":"canary""#), twice(28)),
        row("an unknown key twice", good_after(r#""meta":1,"meta":1"#), twice(16)),
        row("a key twice within an ignored field", good_after(r#""meta":{"a":{"b":1,"b":1}}"#), twice(23)),
        row("a key twice within an array", good_after(r#""meta":[{"b":1,"b":2}]"#), twice(19)),
        row("a key twice within a service-set field", good_after(r#""type":{"b":1,"b":2}"#), twice(18)),
    ];
    let no_objects = ["null", "true", "31337", "\"canary\"", "[]", "[{\"name\":\"canary\"}]"];
    rows.extend(no_objects.map(|body| row(format!("no object: {body}"), body, no_object())));
    rows
}

/// Requests that are refused before the body is parsed.
pub(crate) fn envelopes() -> Vec<Row> {
    let of_type = |name: &'static str, value: &'static str| Row {
        headers: vec![(name, value)],
        status: 415,
        ..row(format!("{name}: {value}"), good().to_string(), MEDIA_TYPE.to_owned())
    };
    let too_large = |what: &str, body: String| Row { status: 413, ..row(what, body, TOO_LARGE.to_owned()) };
    let mut twice = of_type("content-type", "text/plain");
    twice.headers.push(JSON_TYPE);
    let mut rows = vec![twice];
    for value in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/octet-stream",
        "json",
        "+json",
        "application/json, text/plain",
        "*/*",
    ] {
        rows.push(of_type("content-type", value));
    }
    rows.extend(["gzip", "br", "gzip, identity", "canary"].map(|value| of_type("content-encoding", value)));
    rows.push(too_large("a body one byte too large", padded(BODY_MAX_BYTES + 1)));
    rows.push(too_large("a large body that is no JSON", "canary".repeat(20_000)));
    rows.push(too_large("a body of a megabyte", padded(1 << 20)));
    rows
}

/// A valid body, padded to this length.
pub(crate) fn padded(bytes: usize) -> String {
    let body = good().to_string();
    " ".repeat(bytes - body.len()) + &body
}

pub(crate) fn rows() -> Vec<Row> {
    let groups =
        [names(), descriptions(), credentials(), types_and_absences(), near_misses(), syntax(), envelopes()];
    groups.into_iter().flatten().collect()
}
