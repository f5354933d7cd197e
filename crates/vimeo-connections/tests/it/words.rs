//! Words that this repository does not use, from `docs/words.txt`, are in no tracked text file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::architecture::root;
use crate::support::tools::skip;

const LIST: &str = "docs/words.txt";
/// The list itself, and a text that is not ours.
const EXCLUDED: [&str; 2] = [LIST, "LICENSE"];
const EXCLUDED_ENDINGS: [&str; 6] =
    [".lock", ".min.js", "-lock.json", ".svg", "vectors.json", "requirements.txt"];
/// At most this many findings are printed.
const MAX_PRINTED: usize = 200;

struct Entry {
    phrase: String,
    /// The words of the phrase, in lower case.
    words: Vec<String>,
    say: String,
    /// Texts that contain the phrase and are right.
    exceptions: Vec<String>,
}

struct Finding {
    line: usize,
    phrase: String,
    say: String,
}

/// A word of a text in lower case, and its bytes.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

fn entries(list: &str) -> Vec<Entry> {
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let entries = lines.map(|line| {
        let mut columns = line.split('|').map(str::trim);
        let (phrase, say) = (columns.next().unwrap(), columns.next());
        let say = say.unwrap_or_else(|| panic!("{LIST}: no replacement for {phrase:?}"));
        let exceptions = columns.next().unwrap_or_default().split("  ").map(str::trim);
        Entry {
            phrase: phrase.to_owned(),
            words: phrase.split(' ').map(str::to_owned).collect(),
            say: say.to_owned(),
            exceptions: exceptions.filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        }
    });
    entries.collect()
}

/// The words of a text: runs of letters, where an upper-case letter after a lower-case one starts a new word.
fn words(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut last = ' ';
    for (at, letter) in text.char_indices() {
        if letter.is_alphabetic() {
            let continues = last.is_alphabetic() && !(last.is_lowercase() && letter.is_uppercase());
            match found.last_mut() {
                Some(word) if continues => word.text.extend(letter.to_lowercase()),
                _ => found.push(Word { text: letter.to_lowercase().collect(), start: at, end: at }),
            }
            if let Some(word) = found.last_mut() {
                word.end = at + letter.len_utf8();
            }
        }
        last = letter;
    }
    found
}

/// Whether a phrase may continue across this text: space, the start of a comment, a joint of an identifier.
fn is_gap(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || "_/!#*\\".contains(letter))
}

/// Whether the bytes are in a text that is right.
fn is_exception(entry: &Entry, text: &str, start: usize, end: usize) -> bool {
    entry.exceptions.iter().any(|exception| {
        exception.match_indices(&text[start..end]).any(|(before, _)| {
            let from = start.checked_sub(before);
            from.is_some_and(|from| text.get(from..).is_some_and(|rest| rest.starts_with(exception)))
        })
    })
}

fn findings(text: &str, entries: &[Entry]) -> Vec<Finding> {
    let mut by_first_word: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        by_first_word.entry(&entry.words[0]).or_default().push(entry);
    }
    let words = words(text);
    let mut found = Vec::new();
    for (at, first) in words.iter().enumerate() {
        for entry in by_first_word.get(&*first.text).into_iter().flatten() {
            let Some(phrase) = words.get(at..at + entry.words.len()) else { continue };
            let is_phrase = phrase.iter().map(|word| &word.text).eq(&entry.words);
            let is_joined = || phrase.windows(2).all(|pair| is_gap(&text[pair[0].end..pair[1].start]));
            let (start, end) = (first.start, phrase[phrase.len() - 1].end);
            if is_phrase && is_joined() && !is_exception(entry, text, start, end) {
                let line = 1 + text[..start].bytes().filter(|byte| *byte == b'\n').count();
                found.push(Finding { line, phrase: entry.phrase.clone(), say: entry.say.clone() });
            }
        }
    }
    found.sort_by_key(|finding| finding.line);
    found
}

/// All tracked files. `None`, and reported, if this is not a working tree.
fn tracked_files() -> Option<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok();
    let Some(listed) = listed.filter(|listed| listed.status.success()) else {
        skip("the tracked files are unknown: this is not a working tree of git");
        return None;
    };
    let names = String::from_utf8(listed.stdout).unwrap();
    Some(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn is_checked(path: &Path) -> bool {
    let name = path.to_str().unwrap();
    !EXCLUDED.contains(&name) && !EXCLUDED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The findings in each file that has any.
fn all_findings() -> Option<BTreeMap<String, Vec<Finding>>> {
    let entries = entries(&fs::read_to_string(root().join(LIST)).unwrap());
    let mut all = BTreeMap::new();
    for path in tracked_files()?.into_iter().filter(|path| is_checked(path)) {
        // Not there, or not text.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let found = findings(&text, &entries);
        if !found.is_empty() {
            all.insert(path.to_str().unwrap().to_owned(), found);
        }
    }
    Some(all)
}

#[test]
fn no_file_has_a_word_that_the_list_rules_out() {
    let Some(found) = all_findings() else { return };
    let mut wrong = Vec::new();
    for (path, found) in &found {
        wrong.extend(
            found.iter().map(|one| format!("{path}:{}: {:?}: say {}", one.line, one.phrase, one.say)),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} words of {LIST}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(MAX_PRINTED)].join("\n")
    );
}

#[test]
fn words_are_found_in_prose_and_identifiers_and_nowhere_else() {
    let entries = entries("# comment\nfoo | bar\nthe baz | a qux | by the baz  the_baz_size\n");
    let phrases = |text: &str| {
        let found = findings(text, &entries);
        found.into_iter().map(|finding| (finding.line, finding.phrase)).collect::<Vec<_>>()
    };
    let foo = |line: usize| vec![(line, "foo".to_owned())];
    for text in ["a foo.", "Foo", "`is_foo`", "fooBar", "isFoo", "FOO_MAX", "x\u{e9} foo", "foo2"] {
        assert_eq!(phrases(text), foo(1), "{text}");
    }
    assert_eq!(phrases("a\nb\nfoo"), foo(3));
    assert_eq!(phrases("a\nb foo"), foo(2));
    for text in ["food", "fo o", "afoo", "the bazaar", "the, baz", "the. Baz", "by the baz", "the_baz_size"] {
        assert_eq!(phrases(text), [], "{text}");
    }
    for text in ["the baz", "// the\n    // baz", "the_baz", "TheBaz", "the_baz_", "the \\\n   baz"] {
        assert_eq!(phrases(text), [(1, "the baz".to_owned())], "{text}");
    }
}
