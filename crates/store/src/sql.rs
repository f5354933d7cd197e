//! SQL in files: one file for each engine and kind of data. A line `-- name: NAME` starts a statement.

const MARKER: &str = "-- name: ";

/// The statement with this name in a file, without the comment above it. Evaluated in a constant, so that a wrong name does
/// not compile.
pub(crate) const fn statement(file: &'static str, name: &str) -> &'static str {
    let mut rest = file;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if let Some(found) = after_prefix(line, MARKER)
            && is_equal(found, name)
        {
            return first_statement(rest);
        }
    }
    panic!("the file has no statement with this name")
}

/// Everything up to the first line that ends with a semicolon, without the lines of comment at its beginning.
const fn first_statement(text: &'static str) -> &'static str {
    let mut statement = text;
    while after_prefix(statement, "--").is_some() {
        (_, statement) = split_line(statement);
    }
    let mut rest = statement;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        if let [.., b';'] = line.as_bytes() {
            return statement.split_at(statement.len() - rest.len() + line.len() - 1).0;
        }
        rest = after;
    }
    panic!("a statement ends with a semicolon")
}

/// The first line, and everything after its line feed.
const fn split_line(text: &str) -> (&str, &str) {
    let (mut length, mut bytes) = (0, text.as_bytes());
    while let [first, rest @ ..] = bytes {
        if *first == b'\n' {
            return (text.split_at(length).0, text.split_at(length + 1).1);
        }
        (length, bytes) = (length + 1, rest);
    }
    (text, "")
}

const fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    if text.len() < prefix.len() || !text.is_char_boundary(prefix.len()) {
        return None;
    }
    let (front, rest) = text.split_at(prefix.len());
    if is_equal(front, prefix) { Some(rest) } else { None }
}

const fn is_equal(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.is_empty() && right.is_empty()
}

/// All statements of a file: their names and texts.
#[cfg(test)]
pub(crate) fn statements(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let names = file.lines().filter_map(|line| line.strip_prefix(MARKER));
    names.map(|name| (name, statement(file, name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-- About the file.\n\n-- name: one\n-- Why.\n-- More.\nSELECT 1;\n\n\
                        -- name: one_more\nSELECT\n    -- Inside; really.\n    2;\n\n\
                        -- About the next one.\n\n-- name: last\nSELECT 3;";

    #[test]
    fn a_statement_is_found_by_its_whole_name() {
        assert_eq!(
            statements(FILE),
            [
                ("one", "SELECT 1"),
                ("one_more", "SELECT\n    -- Inside; really.\n    2"),
                ("last", "SELECT 3")
            ]
        );
    }

    #[test]
    #[should_panic(expected = "no statement with this name")]
    fn a_name_that_is_not_there_is_an_error() {
        statement(FILE, "one_mor");
    }
}
