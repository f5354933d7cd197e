//! A URL's query, parameter by parameter; every fault at once, no value echoed.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;

use crate::error::{FieldFault, Problem};
use crate::fields::{likely_name, shown};

/// How many unknown parameters are named.
const NAMED_MAX: usize = 20;

/// The parameters of a query.
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
    /// Names of the parameters that were asked for.
    known: Vec<&'static str>,
    faults: Vec<FieldFault>,
}

impl Query {
    pub(crate) fn new(raw: Option<&str>) -> Self {
        let parameters = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect();
        Self { parameters, known: Vec::new(), faults: Vec::new() }
    }

    /// A parameter's text, if it is there.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = values.next().cloned();
        if values.next().is_some() {
            self.fault(name, "must be given once");
        }
        first
    }

    /// A parameter that is read by its own rule, if it is there.
    pub(crate) fn parsed<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.optional(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, &error.to_string());
                None
            }
        }
    }

    fn fault(&mut self, name: &str, errors: &str) {
        self.faults.push(FieldFault { name: name.to_owned(), errors: errors.to_owned() });
    }

    /// Whether anything was wrong. Unknown parameters are ignored, as the documented routes do.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::faulty_query(self.faults)) }
    }

    /// Whether anything was wrong. An unknown parameter is: a misspelt filter would find too much.
    pub(crate) fn finish_refusing_unknown(mut self) -> Result<(), Problem> {
        let names = std::mem::take(&mut self.parameters).into_iter().map(|(name, _)| name);
        let unknown: Vec<_> =
            names.filter(|name| !self.known.contains(&name.as_str())).take(NAMED_MAX).collect();
        for name in unknown {
            let errors = match likely_name(&name, &self.known) {
                Some(likely) => format!("is not a known parameter; did you mean {likely}?"),
                None => "is not a known parameter".to_owned(),
            };
            self.fault(&shown(&name), &errors);
        }
        self.finish()
    }
}

/// The query of a route that takes no parameters.
pub(crate) struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        refuse_query(&parts.uri).map(|()| Self)
    }
}

/// The check of [`NoQuery`].
pub(crate) fn refuse_query(uri: &Uri) -> Result<(), Problem> {
    Query::new(uri.query()).finish_refusing_unknown()
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

    fn faults(problem: &Problem) -> Vec<(&str, &str)> {
        problem.fields.iter().map(|fault| (&*fault.name, &*fault.errors)).collect()
    }

    #[test]
    fn parameters_are_decoded_and_given_once() {
        assert_eq!(faults(&query().finish().unwrap_err()), [("limit", "must be given once")]);
        assert!(Query::new(None).finish().is_ok());
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_likely_one_where_that_is_the_rule() {
        assert_eq!(
            faults(&query().finish_refusing_unknown().unwrap_err()),
            [
                ("limit", "must be given once"),
                ("name2", "is not a known parameter; did you mean name?"),
                ("Limit", "is not a known parameter; did you mean limit?"),
                ("?", "is not a known parameter"),
            ]
        );
        let many = "x&".repeat(10_000);
        assert_eq!(Query::new(Some(&many)).finish_refusing_unknown().unwrap_err().fields.len(), NAMED_MAX);
        assert!(Query::new(Some("")).finish_refusing_unknown().is_ok());
    }
}
