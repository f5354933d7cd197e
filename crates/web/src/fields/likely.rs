//! Which field an unknown one was probably meant to be. Comparing is bounded: by the length of a name here, and by the
//! number of names where this is called.

/// Up to this many typing errors an unknown name is taken for a misspelt known one.
const DISTANCE_MAX: usize = 2;
/// A name that is longer has another reason than a typing error.
const NAME_MAX_BYTES: usize = 64;

/// The known name that differs from a name only in case, `_` and `-`, or by at most two typing errors: the contract's
/// near miss.
pub(crate) fn likely_name<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > NAME_MAX_BYTES {
        return None;
    }
    let same = known.iter().find(|known| fold(known).eq(fold(name)));
    same.copied().or_else(|| nearest(name, known, |_, distance| distance <= DISTANCE_MAX))
}

/// A name without case, `_` and `-`.
fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase)
}

/// The known name with the fewest typing errors, if `is_near` accepts their number.
fn nearest<'a>(name: &str, known: &[&'a str], is_near: impl Fn(&str, usize) -> bool) -> Option<&'a str> {
    let length = name.chars().count();
    // Texts differ by at least as many errors as their lengths do.
    let similar = known.iter().filter(|known| known.len().abs_diff(length) <= DISTANCE_MAX);
    let letters = letter_set(name);
    let similar = similar.filter(|known| may_be_near(letter_set(known), letters));
    let distances = similar.map(|known| (strsim::levenshtein(known, name), *known));
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    is_near(near, distance).then_some(near)
}

/// Which of the 26 letters a name has, whatever their case: a bit for each.
fn letter_set(name: &str) -> u32 {
    let letters = name.bytes().filter(u8::is_ascii_alphabetic);
    letters.fold(0, |set, letter| set | 1 << (letter.to_ascii_lowercase() - b'a'))
}

/// Whether two names with these letters can be so few typing errors apart: each error takes one letter away at most, and
/// adds one. Much cheaper than counting the errors.
fn may_be_near(one: u32, other: u32) -> bool {
    (one ^ other).count_ones() as usize <= 2 * DISTANCE_MAX
}

/// What a body's fields are called, at every level, and what others call them.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// Every field by its path.
    pub(crate) paths: &'static [&'static str],
    /// Common names of the same settings, in lower case and without separators, with the path that is meant.
    pub(crate) synonyms: &'static [(&'static str, &'static str)],
    /// An object that may have some of the top level's fields instead, and which ones.
    pub(crate) nested: (&'static str, &'static [&'static str]),
}

impl Vocabulary {
    /// The path of the field that a name was probably meant to be, which was found in the object with this prefix and
    /// these names. Names that fit exactly come first: a field at another level is likelier than a misspelt one here.
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
        // More than half of a short name is no typing error.
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

    /// Whether a path ends in this name. What only the nested object has is looked for at the top alone.
    fn is_leaf(&self, path: &str, bare: &str, prefix: &str) -> bool {
        let (object, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        let is_in_reach = object != self.nested.0 || prefix.is_empty();
        is_in_reach && has_letters(leaf, bare)
    }

    /// A path as it is written for an object with this prefix.
    fn placed(&self, path: &str, prefix: &str) -> String {
        let (object, shared) = self.nested;
        let first = path.split('.').next().unwrap_or(path);
        let is_inside = prefix.split('.').next() == Some(object) && shared.contains(&first);
        if is_inside { format!("{object}.{path}") } else { path.to_owned() }
    }
}

/// A name's letters and digits in lower case.
fn letters(name: &str) -> String {
    letters_of(name).collect()
}

/// Whether a name has these letters; most differ in the first.
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
    fn a_near_miss_is_a_few_letters_or_another_spelling_away() {
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
