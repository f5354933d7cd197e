//! Reads the query of a URL. Collects all errors and echoes no values.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;

use crate::error::{FieldError, Problem};
use crate::fields::{likely_name, safe_name};

/// How many unknown parameters are named.
const NAMED_MAX: usize = 20;

/// The parameters of a query.
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
    /// Names of the parameters that were read.
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Query {
    pub(crate) fn new(raw: Option<&str>) -> Self {
        let parameters = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect();
        Self { parameters, known: Vec::new(), errors: Vec::new() }
    }

    /// The text of an optional parameter.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = values.next().cloned();
        if values.next().is_some() {
            self.error(name, "must be given once");
        }
        first
    }

    /// An optional parameter, passed to a parser.
    pub(crate) fn parsed<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.optional(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(name, &error.to_string());
                None
            }
        }
    }

    fn error(&mut self, name: &str, errors: &str) {
        self.errors.push(FieldError { name: name.to_owned(), errors: errors.to_owned() });
    }

    /// Reports all errors. Unknown parameters are ignored, as the routes of Part 1 require.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_query(self.errors)) }
    }

    /// Reports all errors, including unknown parameters: with a misspelt filter, a list would return too much.
    pub(crate) fn finish_strict(mut self) -> Result<(), Problem> {
        let names = std::mem::take(&mut self.parameters).into_iter().map(|(name, _)| name);
        let unknown: Vec<_> =
            names.filter(|name| !self.known.contains(&name.as_str())).take(NAMED_MAX).collect();
        for name in unknown {
            let errors = match likely_name(&name, &self.known) {
                Some(likely) => format!("is not a known parameter; did you mean {likely}?"),
                None => "is not a known parameter".to_owned(),
            };
            self.error(&safe_name(&name), &errors);
        }
        self.finish()
    }
}

/// The query of a route without parameters.
pub(crate) struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        reject_query(&parts.uri).map(|()| Self)
    }
}

/// Rejects any parameter.
pub(crate) fn reject_query(uri: &Uri) -> Result<(), Problem> {
    Query::new(uri.query()).finish_strict()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Query {
        let mut query =
            Query::new(Some("name=%C3%BC+x&limit=5&limit=6&other&name2=canary&Limit=canary&ca%20nary=1"));
        assert_eq!(query.optional("name").as_deref(), Some("\u{fc} x"));
        assert_eq!(query.optional("absent"), None);
        assert_eq!(query.optional("other").as_deref(), Some(""));
        assert_eq!(query.parsed("limit", str::parse::<u32>), Some(5));
        query
    }

    fn errors(problem: &Problem) -> Vec<(&str, &str)> {
        problem.fields.iter().map(|error| (&*error.name, &*error.errors)).collect()
    }

    #[test]
    fn parameters_are_decoded_and_must_be_unique() {
        assert_eq!(errors(&query().finish().unwrap_err()), [("limit", "must be given once")]);
        assert!(Query::new(None).finish().is_ok());
    }

    #[test]
    fn an_unknown_parameter_is_an_error_with_a_suggestion_on_strict_routes() {
        assert_eq!(
            errors(&query().finish_strict().unwrap_err()),
            [
                ("limit", "must be given once"),
                ("name2", "is not a known parameter; did you mean name?"),
                ("Limit", "is not a known parameter; did you mean limit?"),
                ("?", "is not a known parameter"),
            ]
        );
        let many = "x&".repeat(10_000);
        assert_eq!(Query::new(Some(&many)).finish_strict().unwrap_err().fields.len(), NAMED_MAX);
        assert!(Query::new(Some("")).finish_strict().is_ok());
    }
}
