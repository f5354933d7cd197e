//! A URL's query, parameter by parameter; what is wrong with it is told at once.

use crate::error::{Code, FieldFault, Problem};

/// The parameters of a query. Those that nobody asks for are ignored.
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
    faults: Vec<FieldFault>,
}

impl Query {
    pub(crate) fn new(raw: Option<&str>) -> Self {
        let parameters = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect();
        Self { parameters, faults: Vec::new() }
    }

    /// A parameter's text, if it is there.
    pub(crate) fn optional(&mut self, name: &str) -> Option<String> {
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
        name: &str,
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

    /// Whether anything was wrong.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Problem { fields: self.faults, ..Code::InvalidQuery.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_given_once() {
        let mut query = Query::new(Some("name=%C3%BC+x&limit=5&limit=6&other&name2=y"));
        assert_eq!(query.optional("name").as_deref(), Some("\u{fc} x"));
        assert_eq!(query.optional("absent"), None);
        assert_eq!(query.optional("other").as_deref(), Some(""));
        assert_eq!(query.parsed("limit", str::parse::<u32>), Some(5));
        let problem = query.finish().unwrap_err();
        let names: Vec<_> = problem.fields.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["limit"]);
        assert!(Query::new(None).finish().is_ok());
    }
}
