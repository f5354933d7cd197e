//! Canaries: secrets that a test plants, and a search for them in every encoding in which they could leak.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// The length of the prefix that the search looks up first.
const HEAD: usize = 4;

/// The encoded secrets to search for.
#[derive(Default)]
pub(crate) struct Canaries {
    /// The name of a secret and one of its encodings, by the prefix of the encoding.
    shapes: HashMap<[u8; HEAD], Vec<(String, Vec<u8>)>>,
}

impl Canaries {
    /// These secrets, each in all encodings.
    pub(crate) fn of(secrets: &[(&str, &[u8])]) -> Self {
        let mut canaries = Self::default();
        for (name, secret) in secrets {
            for shape in shapes(secret) {
                let head = shape[..HEAD].try_into().unwrap();
                canaries.shapes.entry(head).or_default().push(((*name).to_owned(), shape));
            }
        }
        canaries
    }

    /// The names of the secrets that occur in the bytes.
    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, head) in bytes.windows(HEAD).enumerate() {
            let Some(candidates) = self.shapes.get(head) else { continue };
            for (name, shape) in candidates {
                if bytes[at..].starts_with(shape) {
                    found.insert(name.clone());
                }
            }
        }
        found
    }

    /// The same for every file of a directory except these: `file: secret`.
    pub(crate) fn in_files(&self, directory: &Path, except: &[&Path]) -> Vec<String> {
        let mut found = Vec::new();
        for file in files(directory).into_iter().filter(|file| !except.contains(&file.as_path())) {
            let names = self.in_bytes(&fs::read(&file).unwrap());
            found.extend(names.into_iter().map(|name| format!("{}: {name}", file.display())));
            let names = self.in_bytes(file.to_str().unwrap().as_bytes());
            found.extend(names.into_iter().map(|name| format!("the name {}: {name}", file.display())));
        }
        found
    }
}

/// Every file under a directory. A WAL comes before its database: read in the other order, data that moves from the
/// WAL to the database could be missed in both.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_key(|file| !file.to_str().unwrap().ends_with("-wal"));
    found
}

/// A secret as it is, and in the usual encodings.
fn shapes(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut shapes: BTreeSet<Vec<u8>> = BTreeSet::from([secret.to_vec()]);
    for engine in [&STANDARD, &URL_SAFE] {
        shapes.extend((0..3).map(|before| base64_inside(engine, secret, before)));
    }
    let hex =
        |separator: &str| secret.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator);
    let decimal = |separator: &str| secret.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
    let mut texts = vec![hex(""), hex("").to_uppercase(), hex(" "), hex(":"), decimal(", "), decimal(",")];
    if let Ok(text) = std::str::from_utf8(secret) {
        texts.extend([url_encoded(text), url_encoded(text).to_lowercase(), format!("{text:?}")]);
        let once = json_inside(text);
        texts.extend([json_inside(&once), once.replace('/', "\\/"), once]);
        let html =
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        texts.push(html);
        let unicode = ["&", "<", ">", "+", "="].iter().fold(json_inside(text), |text, special| {
            text.replace(special, &format!("\\u{:04x}", special.as_bytes()[0]))
        });
        texts.push(unicode);
        assert!(text.len() > 8, "too short: it could occur by chance");
    }
    shapes.extend(texts.into_iter().map(|text| text.trim_matches('"').as_bytes().to_vec()));
    shapes
}

/// The base64 of a secret that follows `before` other bytes: only the characters that depend on the secret alone.
fn base64_inside(engine: &impl base64::Engine, secret: &[u8], before: usize) -> Vec<u8> {
    let bytes = [vec![0; before], secret.to_vec()].concat();
    let text = engine.encode(&bytes);
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.as_bytes()[first..end].to_vec()
}

fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}

/// A text as it is inside a JSON string.
fn json_inside(text: &str) -> String {
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

#[test]
fn a_canary_is_found_in_every_encoding() {
    let secret = "Canary+/=\"\\%&<secret>";
    let canaries = Canaries::of(&[("it", secret.as_bytes()), ("another", b"nowhere to be found")]);
    let hex = "43616e6172792b2f3d225c25263c7365637265743e".to_owned();
    let json = serde_json::json!({ "a": secret }).to_string();
    let planted = [
        secret.as_bytes().to_vec(),
        STANDARD.encode(secret).into_bytes(),
        STANDARD.encode(format!("client:{secret}")).into_bytes(),
        STANDARD.encode(format!("clients:{secret}:more")).into_bytes(),
        STANDARD.encode(format!("a client:{secret}:even more")).into_bytes(),
        URL_SAFE.encode(format!("a client:{secret}:more")).into_bytes(),
        "q=Canary%2B%2F%3D%22%5C%25%26%3Csecret%3E".into(),
        "q=canary%2b%2f%3d%22%5c%25%26%3csecret%3e".into(),
        format!("\"{}\"", hex.to_uppercase()).into_bytes(),
        hex.into_bytes(),
        json.clone().into_bytes(),
        serde_json::json!({ "b": json }).to_string().into_bytes(),
        format!("{secret:?}").into_bytes(),
        format!("{:?}", secret.as_bytes()).into_bytes(),
        br#"Canary\u002b/\u003d\"\\%\u0026\u003csecret\u003e"#.to_vec(),
        b"<p>Canary+/=&quot;\\%&amp;&lt;secret&gt;</p>".to_vec(),
    ];
    for shape in planted {
        let surrounded = [b"some bytes before it ", shape.as_slice(), b" and some behind"].concat();
        let found = canaries.in_bytes(&surrounded);
        assert_eq!(found, BTreeSet::from(["it".to_owned()]), "{}", String::from_utf8_lossy(&shape));
    }
    let directory = tempfile::tempdir().unwrap();
    let (inner, file) = (directory.path().join("a/b"), directory.path().join("a/b/c"));
    fs::create_dir_all(inner).unwrap();
    fs::write(&file, [&[0, 159, 146, 150], secret.as_bytes()].concat()).unwrap();
    assert_eq!(canaries.in_files(directory.path(), &[]), [format!("{}: it", file.display())]);
    assert!(canaries.in_files(directory.path(), &[&file]).is_empty());
    assert!(canaries.in_bytes(b"Canary+/=\"\\%&<secret and nothing else").is_empty());
}
