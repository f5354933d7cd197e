//! Finds the field that an unknown name probably means. The cost is bounded: here by the length of a name, and by the
//! callers through the number of names.

/// Names with up to this edit distance count as misspelt.
const DISTANCE_MAX: usize = 2;
/// A longer name is not a misspelt field.
const NAME_MAX_BYTES: usize = 64;

/// The known name that differs only in case, `_` and `-`, or by an edit distance of at most two: the contract's near
/// miss.
pub(crate) fn likely_name<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > NAME_MAX_BYTES {
        return None;
    }
    let same = known.iter().find(|known| fold(known).eq(fold(name)));
    same.copied().or_else(|| nearest(name, known, |_, distance| distance <= DISTANCE_MAX))
}

/// A name without `_` and `-`, in lower case.
fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase)
}

/// The known name with the smallest edit distance, if `is_near` accepts it.
fn nearest<'a>(name: &str, known: &[&'a str], is_near: impl Fn(&str, usize) -> bool) -> Option<&'a str> {
    let length = name.chars().count();
    // The edit distance is at least the difference in length.
    let similar = known.iter().filter(|known| known.len().abs_diff(length) <= DISTANCE_MAX);
    let letters = letter_set(name);
    let similar = similar.filter(|known| may_be_near(letter_set(known), letters));
    let distances = similar.map(|known| (strsim::levenshtein(known, name), *known));
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    is_near(near, distance).then_some(near)
}

/// The set of letters in a name, ignoring case: one bit each.
fn letter_set(name: &str) -> u32 {
    let letters = name.bytes().filter(u8::is_ascii_alphabetic);
    letters.fold(0, |set, letter| set | 1 << (letter.to_ascii_lowercase() - b'a'))
}

/// Whether names with these letter sets can be within the maximum edit distance: each edit removes at most one letter
/// and adds one. Much cheaper than computing the distance.
fn may_be_near(one: u32, other: u32) -> bool {
    (one ^ other).count_ones() as usize <= 2 * DISTANCE_MAX
}

/// The field names of a body at all levels, and other common names for them.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// The paths of all fields.
    pub(crate) paths: &'static [&'static str],
    /// Other common names, in lower case and without separators, with the path they mean.
    pub(crate) synonyms: &'static [(&'static str, &'static str)],
    /// An object that may contain some of the top-level fields, and which ones.
    pub(crate) nested: (&'static str, &'static [&'static str]),
}

impl Vocabulary {
    /// The path of the field that a name probably means. The name was found in the object with this prefix and these
    /// fields. Exact matches at any level take precedence over misspellings at this level.
    pub(crate) fn likely_path(&self, name: &str, prefix: &str, known: &[&str]) -> Option<String> {
        if name.len() > NAME_MAX_BYTES {
            return None;
        }
        let own = |known: &str| format!("{prefix}{known}");
        if let Some(same) = known.iter().find(|known| fold(known).eq(fold(name))) {
            return Some(own(same));
        }
        let bare = letters(name);
        if bare.is_empty() {
            return None;
        }
        let is_same = |path: &&&str| has_letters(path, &bare) || self.is_leaf(path, &bare, prefix);
        let synonym = || self.synonyms.iter().find(|(synonym, _)| *synonym == bare).map(|(_, path)| *path);
        // Changing more than half of a short name is not a misspelling.
        let is_near = |known: &str, distance: usize| distance <= DISTANCE_MAX && 2 * distance <= known.len();
        if let Some(path) = self.paths.iter().find(is_same).copied().or_else(synonym) {
            return Some(self.placed(path, prefix));
        }
        nearest(name, known, is_near)
            .map(own)
            .or_else(|| self.nearest_path(&bare, is_near).map(|path| self.placed(path, prefix)))
    }

    fn nearest_path(&self, bare: &str, is_near: impl Fn(&str, usize) -> bool) -> Option<&'static str> {
        let similar = self.paths.iter().filter(|path| path.len().abs_diff(bare.len()) <= 2 * DISTANCE_MAX);
        let letters_of_bare = letter_set(bare);
        let similar = similar.filter(|path| may_be_near(letter_set(path), letters_of_bare));
        let distances = similar.map(|path| (strsim::levenshtein(&letters(path), bare), *path));
        let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
        is_near(near, distance).then_some(near)
    }

    /// Whether a path ends with this name. Fields that only the nested object has are considered only at the top level.
    fn is_leaf(&self, path: &str, bare: &str, prefix: &str) -> bool {
        let (object, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        let is_in_reach = object != self.nested.0 || prefix.is_empty();
        is_in_reach && has_letters(leaf, bare)
    }

    /// A path as written for an object with this prefix.
    fn placed(&self, path: &str, prefix: &str) -> String {
        let (object, shared) = self.nested;
        let first = path.split('.').next().unwrap_or(path);
        let is_inside = prefix.split('.').next() == Some(object) && shared.contains(&first);
        if is_inside { format!("{object}.{path}") } else { path.to_owned() }
    }
}

/// The letters and digits of a name in lower case.
fn letters(name: &str) -> String {
    letters_of(name).collect()
}

/// Whether a name has these letters. Most differ in the first one.
fn has_letters(name: &str, bare: &str) -> bool {
    letters_of(name).eq(bare.chars())
}

fn letters_of(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["name", "clientSecret", "clientIdentifier", "accessToken"];

    #[test]
    fn a_near_miss_differs_in_a_few_letters_or_in_spelling() {
        for (name, near) in [
            ("client_secret", Some("clientSecret")),
            ("CLIENT-IDENTIFIER", Some("clientIdentifier")),
            ("accesToken", Some("accessToken")),
            ("acessTokn", Some("accessToken")),
            ("accessTokens", Some("accessToken")),
            ("nmae", Some("name")),
            ("na", Some("name")),
            ("token", None),
            ("client", None),
            ("title", None),
            ("clientId", None),
            (&format!("name{}", "_".repeat(100)), None),
        ] {
            assert_eq!(likely_name(name, &KNOWN), near, "{name}");
        }
    }
}
