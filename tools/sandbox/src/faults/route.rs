//! Patterns of requests: `GET /oauth/verify`, `/me`, `/videos/{video}`, `PATCH /files/*`, `*`.

use std::fmt;

use axum::http::Method;

use crate::control::is_control;

/// A path pattern with an optional method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    method: Option<Method>,
    pieces: Vec<Piece>,
}

/// A part of a path's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Literal text.
    Text(String),
    /// Any segment that is not empty. The name has no meaning.
    Segment(String),
    /// Any rest, including none.
    Rest,
}

impl Route {
    /// Parses a route.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (method, path) = match text.trim().split_once(' ') {
            Some((method, path)) => (Some(method), path.trim()),
            None => (None, text.trim()),
        };
        let method = method
            .map(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()))
            .transpose()
            .map_err(|_| format!("`{text}` does not begin with an HTTP method."))?;
        if is_control(path) {
            return Err(
                "The controls are never subject to faults, nor journalled, so no route names one.".to_owned()
            );
        }
        let pieces = read_pieces(path).ok_or_else(|| {
            format!(
                "`{text}` is not a route: write a path, if you like with a method before it, `{{name}}` for a \
                 segment of any name and a `*` at its end, without a query."
            )
        })?;
        Ok(Self { method, pieces })
    }

    /// The route that matches every request.
    pub(crate) fn any() -> Self {
        Self { method: None, pieces: vec![Piece::Rest] }
    }

    pub(crate) fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.as_str() == method) && is_path(&self.pieces, path)
    }
}

fn is_path(pieces: &[Piece], path: &str) -> bool {
    let mut left = path;
    for piece in pieces {
        left = match piece {
            Piece::Text(text) => match left.strip_prefix(text.as_str()) {
                Some(rest) => rest,
                None => return false,
            },
            Piece::Segment(_) => {
                let rest = left.trim_start_matches(|character| character != '/');
                if rest.len() == left.len() {
                    return false;
                }
                rest
            }
            Piece::Rest => return true,
        };
    }
    left.is_empty()
}

fn read_pieces(path: &str) -> Option<Vec<Piece>> {
    let (path, has_rest) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
    if !(path.starts_with('/') || (has_rest && path.is_empty())) || path.contains(['*', '?', ' ']) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut left = path;
    while let Some((before, after)) = left.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let is_complete = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        if !is_complete || before.contains('}') || name.is_empty() || name.contains(['{', '/']) {
            return None;
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Segment(name.to_owned()));
        left = after;
    }
    if left.contains('}') {
        return None;
    }
    pieces.push(Piece::Text(left.to_owned()));
    if has_rest {
        pieces.push(Piece::Rest);
    }
    Some(pieces)
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Segment(name) => write!(f, "{{{name}}}")?,
                Piece::Rest => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_shown_as_it_was_written() {
        for text in
            ["GET /me", "/me*", "*", "DELETE *", "PUT /me/projects/{folder}/videos/{video}", "/videos/{v}/*"]
        {
            assert_eq!(Route::read(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_in_braces_matches_one_whole_segment() {
        let route = Route::read("PUT /me/projects/{folder}/videos/{video}").unwrap();
        for (path, hit) in [
            ("/me/projects/1/videos/2", true),
            ("/me/projects/1/videos/2:abc", true),
            ("/me/projects/1/videos/", false),
            ("/me/projects//videos/2", false),
            ("/me/projects/1/videos/2/x", false),
            ("/me/projects/1/x/videos/2", false),
        ] {
            assert_eq!(route.matches("PUT", path), hit, "{path}");
        }
        assert!(!route.matches("GET", "/me/projects/1/videos/2"));
        assert!(Route::read("/videos/{video}*").unwrap().matches("GET", "/videos/5/versions"));
    }
}
