//! What a provider says about a person.

use serde_json::{Map, Value};

use crate::issuer::Issuer;

/// Limit for what a list of a claim has.
const LIST_MAX: usize = 1_000;

/// The claims of a verified ID token, and of the provider's userinfo endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// A claim by its name; if there is none, the name is a path with dots: `realm_access.roles`.
    fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| {
            let mut steps = name.split('.');
            let first = self.0.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        })
    }

    /// The text of a claim; `None` if it is absent, empty, or no text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The texts of a claim that is a text or a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        match self.find(name) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(values)) => values.iter().take(LIST_MAX).filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a claim is true. Some providers write it as a text.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.find(name).is_some_and(|value| value == true || value == "true")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Adds the claims of a less trusted source: those that are there stay.
    pub(crate) fn complete(&mut self, others: Map<String, Value>) {
        for (name, value) in others {
            self.0.entry(name).or_insert(value);
        }
    }
}

/// A person whom the provider has identified.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) issuer: Issuer,
    pub(crate) subject: String,
    pub(crate) claims: Claims,
}

impl Identity {
    /// Who the person is, for ever: `{issuer}#{sub}`. Names and addresses change, and are given to other persons.
    pub fn subject(&self) -> String {
        format!("{}#{}", self.issuer, self.subject)
    }

    /// What the provider says about them.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(map) => Claims::new(map),
            _ => panic!("no object"),
        }
    }

    #[test]
    fn a_claim_is_found_by_its_name_and_then_as_a_path() {
        let claims = claims(json!({
            "groups": ["a", 1, "b"],
            "https://example.com/roles": "x",
            "realm_access": {"roles": ["owner"]},
            "empty": "",
            "email_verified": "true",
        }));
        assert_eq!(claims.texts("groups"), ["a", "b"]);
        assert_eq!(claims.texts("https://example.com/roles"), ["x"]);
        assert_eq!(claims.texts("realm_access.roles"), ["owner"]);
        assert!(claims.texts("realm_access.groups").is_empty() && claims.texts("realm_access").is_empty());
        assert!(claims.texts("").is_empty() && claims.texts(".").is_empty());
        assert_eq!(claims.text("empty"), None);
        assert!(claims.is_true("email_verified") && !claims.is_true("groups"));
    }

    #[test]
    fn userinfo_replaces_no_claim_of_the_token() {
        let mut both = claims(json!({"sub": "1", "email": "a@example.com"}));
        let Value::Object(others) = json!({"email": "b@example.com", "name": "Anna"}) else { panic!() };
        both.complete(others);
        assert_eq!((both.text("email"), both.text("name")), (Some("a@example.com"), Some("Anna")));
    }
}
