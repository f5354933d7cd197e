//! Commands in messages, in a form that can be pasted into a shell.

use std::path::Path;

/// `vimeo-connections move` with the absolute path of this source, and further arguments.
pub(crate) fn move_command(source: &Path, rest: &str) -> String {
    let path = source.canonicalize().or_else(|_| std::path::absolute(source));
    let path = path.as_deref().unwrap_or(source);
    format!("vimeo-connections move --from {} {rest}", quote(&format!("sqlite:{}", path.display())))
}

/// A word, quoted for a shell if necessary.
fn quote(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-._:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_in_a_shell() {
        for word in ["plain", "/a b/c.db", "it's", "$HOME `id` \\", "", "a\"b", "é*"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
    }

    #[test]
    fn a_command_has_the_absolute_path_of_its_source() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("a b.db");
        std::fs::write(&path, "").unwrap();
        let expected = format!("vimeo-connections move --from 'sqlite:{}' --abandon", path.display());
        assert_eq!(move_command(&directory.path().join("./a b.db"), "--abandon"), expected);
        let gone = move_command(Path::new("gone.db"), "--abandon");
        assert!(gone.contains("--from sqlite:/") && gone.ends_with("/gone.db --abandon"), "{gone}");
    }
}
