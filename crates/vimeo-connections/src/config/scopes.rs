//! Vimeo's scopes, for `vimeo.required_scopes`.

use vimeo::SCOPES;

/// Checks the names of required scopes.
pub(super) fn parse(scopes: Vec<String>) -> Result<Vec<String>, String> {
    for scope in &scopes {
        if scope.contains(|c: char| c.is_whitespace()) {
            return Err("has a scope with a space in it: write each scope separately, [\"private\", \"upload\"] in the \
                        file and private,upload in the environment"
                .to_owned());
        }
        if !SCOPES.contains(&scope.as_str()) {
            let near = SCOPES.iter().min_by_key(|known| strsim::damerau_levenshtein(known, scope));
            let hint = near.filter(|near| strsim::damerau_levenshtein(near, scope) <= 2);
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            // A pasted secret is not shown: no scope is longer than this.
            let shown = if scope.len() <= 20 { scope.as_str() } else { "one of those given" };
            return Err(format!("Vimeo has no scope {shown}{hint} (its scopes are {})", SCOPES.join(", ")));
        }
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(scopes: &[&str]) -> String {
        parse(scopes.iter().map(|scope| (*scope).to_owned()).collect()).unwrap_err()
    }

    #[test]
    fn a_scope_that_vimeo_does_not_have_is_named() {
        assert!(parse(vec!["private".into(), "upload".into(), "video_files".into()]).is_ok());
        assert!(parse(Vec::new()).is_ok());
        assert!(error(&["video"]).contains("Vimeo has no scope video"));
        assert!(error(&["private", "uplaod"]).contains("no scope uplaod; did you mean upload?"));
        assert!(error(&["Private"]).contains("did you mean private?"));
    }

    #[test]
    fn scopes_with_a_space_between_them_are_explained() {
        for scopes in ["private upload", "private\tupload"] {
            assert!(error(&[scopes]).contains("write each scope separately"), "{scopes}");
        }
    }
}
