//! What the claims of a person allow: in which account, in which role.

use domain::account::Label;
use domain::session::Role;
use thiserror::Error;

use crate::claims::Claims;

/// How many accounts of a claim are considered.
const ACCOUNTS_MAX: usize = 50;
/// The claims that name a person, the best first.
pub(crate) const NAMES: [&str; 3] = ["name", "preferred_username", "email"];
const EMAIL: &str = "email";
const EMAIL_VERIFIED: &str = "email_verified";

/// In which account people work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRule {
    /// All in this one.
    Fixed(Label),
    /// In the one that this claim names: a text, or a list of which the first that exists is taken.
    Claim(String),
}

/// The operator's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRules {
    /// The account.
    pub account: AccountRule,
    /// The claim with a person's groups or roles.
    pub role_claim: Option<String>,
    /// The roles that values of this claim give.
    pub role_map: Vec<(String, Role)>,
    /// The role of a person without such a value; `None`: they have no access.
    pub default_role: Option<Role>,
    /// Domains of email addresses; empty: all, and people without one.
    pub allowed_domains: Vec<String>,
}

/// What a person may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The names of accounts. The first that exists is taken.
    pub accounts: Vec<Label>,
    /// The role.
    pub role: Role,
    /// The person's name, for the audit log.
    pub person: Label,
}

/// Why a person may not use the service. The comments say what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The operator adds a value of the person's groups to the role map, or the provider adds the person to a group.
    #[error("no value of the role claim is in oidc.role_map, and oidc.default_role is not set")]
    NoRole,
    /// The provider adds the claim, or the operator creates the account.
    #[error("the account claim is missing, or names no account that exists")]
    NoAccount,
    /// The person uses an address of an allowed domain, and verifies it.
    #[error(
        "the email address is missing, is not verified, or has a domain that is not in oidc.allowed_domains"
    )]
    Domain,
    /// The provider adds one of these claims.
    #[error("none of the claims name, preferred_username and email has a name that can be shown")]
    NoName,
}

impl AccessRules {
    /// The claims that the rules read.
    pub fn claims(&self) -> Vec<String> {
        let account = match &self.account {
            AccountRule::Fixed(_) => None,
            AccountRule::Claim(name) => Some(name.clone()),
        };
        let email = (!self.allowed_domains.is_empty()).then(|| EMAIL.to_owned());
        account.into_iter().chain(self.role_claim.clone()).chain(email).collect()
    }

    /// What these claims allow.
    pub fn apply(&self, claims: &Claims) -> Result<Granted, Refusal> {
        if !self.is_domain_allowed(claims) {
            return Err(Refusal::Domain);
        }
        let role = self.role(claims).ok_or(Refusal::NoRole)?;
        let accounts = match &self.account {
            AccountRule::Fixed(name) => vec![name.clone()],
            AccountRule::Claim(claim) => {
                let names = claims.texts(claim).into_iter().filter_map(|name| Label::parse(name).ok());
                names.take(ACCOUNTS_MAX).collect()
            }
        };
        if accounts.is_empty() {
            return Err(Refusal::NoAccount);
        }
        Ok(Granted { accounts, role, person: person(claims).ok_or(Refusal::NoName)? })
    }

    /// The highest of the roles that the person's values give.
    fn role(&self, claims: &Claims) -> Option<Role> {
        let values = self.role_claim.as_deref().map_or_else(Vec::new, |claim| claims.texts(claim));
        let gives =
            |role: &Role| self.role_map.iter().any(|(value, to)| to == role && values.contains(&&**value));
        // The highest is listed first.
        Role::ALL.into_iter().find(gives).or(self.default_role)
    }

    fn is_domain_allowed(&self, claims: &Claims) -> bool {
        if self.allowed_domains.is_empty() {
            return true;
        }
        let domain = claims.text(EMAIL).and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let is_listed = domain.is_some_and(|domain| {
            self.allowed_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
        });
        is_listed && claims.is_true(EMAIL_VERIFIED)
    }
}

/// A person's name, for the audit log. Names are often shared, so that the address follows: `Anna (a@example.com)`. If both are too
/// long, the address is shown alone: people often choose their names themselves.
fn person(claims: &Claims) -> Option<Label> {
    let mut names = NAMES.iter().filter_map(|claim| Label::parse(claims.text(claim)?).ok());
    let name = names.next()?;
    let Some(address) = names.next_back().filter(|address| *address != name) else { return Some(name) };
    Some(Label::parse(&format!("{name} ({address})")).unwrap_or(address))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn label(text: &str) -> Label {
        Label::parse(text).unwrap()
    }

    fn rules() -> AccessRules {
        let map = [("staff", Role::ReadOnly), ("editors", Role::Member), ("admins", Role::Owner)];
        AccessRules {
            account: AccountRule::Fixed(label("acme")),
            role_claim: Some("groups".to_owned()),
            role_map: map.map(|(value, role)| (value.to_owned(), role)).to_vec(),
            default_role: None,
            allowed_domains: Vec::new(),
        }
    }

    fn apply(rules: &AccessRules, claims: Value) -> Result<Granted, Refusal> {
        match claims {
            Value::Object(claims) => rules.apply(&Claims::new(claims)),
            _ => panic!("no object"),
        }
    }

    #[test]
    fn the_highest_role_of_the_groups_counts() {
        for (groups, expected) in [
            (json!(["staff", "admins", "editors"]), Ok(Role::Owner)),
            (json!(["staff", "editors"]), Ok(Role::Member)),
            (json!("staff"), Ok(Role::ReadOnly)),
            (json!(["Admins"]), Err(Refusal::NoRole)),
            (json!(["admins "]), Err(Refusal::NoRole)),
            (json!([]), Err(Refusal::NoRole)),
            (json!({"admins": true}), Err(Refusal::NoRole)),
            (json!([["admins"]]), Err(Refusal::NoRole)),
            (json!(null), Err(Refusal::NoRole)),
        ] {
            let granted = apply(&rules(), json!({"name": "Anna", "groups": groups}));
            assert_eq!(granted.map(|granted| granted.role), expected, "{groups}");
        }
        assert_eq!(apply(&rules(), json!({"name": "Anna"})), Err(Refusal::NoRole));
    }

    #[test]
    fn a_default_role_is_for_those_without_a_mapped_one() {
        let rules = AccessRules { default_role: Some(Role::ReadOnly), ..rules() };
        let role = |groups| apply(&rules, json!({"name": "Anna", "groups": groups})).unwrap().role;
        assert_eq!(role(json!(["other"])), Role::ReadOnly);
        assert_eq!(role(json!(["editors"])), Role::Member);
        let none = AccessRules { role_claim: None, ..rules.clone() };
        assert_eq!(apply(&none, json!({"name": "Anna", "groups": "admins"})).unwrap().role, Role::ReadOnly);
    }

    #[test]
    fn the_account_is_fixed_or_named_by_a_claim() {
        let by_claim = AccessRules { account: AccountRule::Claim("tenants".to_owned()), ..rules() };
        let accounts = |tenants: Value| {
            let claims = json!({"name": "Anna", "groups": "staff", "tenants": tenants});
            apply(&by_claim, claims).map(|granted| granted.accounts)
        };
        assert_eq!(accounts(json!("acme")), Ok(vec![label("acme")]));
        assert_eq!(accounts(json!(["b", "", 3, "a"])), Ok(vec![label("b"), label("a")]));
        for none in [json!(null), json!([]), json!({"acme": 1}), json!("")] {
            assert_eq!(accounts(none.clone()), Err(Refusal::NoAccount), "{none}");
        }
        // A claim of another name has no effect on a fixed account.
        let fixed = apply(&rules(), json!({"name": "Anna", "groups": "staff", "tenants": "evil"})).unwrap();
        assert_eq!(fixed.accounts, [label("acme")]);
    }

    #[test]
    fn a_person_has_a_name_that_can_be_shown() {
        let person = |claims: Value| apply(&rules(), claims).map(|granted| granted.person.to_string());
        let all = json!({"groups": "staff", "name": " Anna ", "email": "a@example.com"});
        assert_eq!(person(all).as_deref(), Ok("Anna (a@example.com)"));
        let long = format!("{}@example.com", "a".repeat(80));
        for (claims, expected) in [
            (json!({"groups": "staff", "name": "Anna", "preferred_username": "anna7"}), "Anna (anna7)"),
            (json!({"groups": "staff", "name": "anna7", "preferred_username": "anna7"}), "anna7"),
            (json!({"groups": "staff", "name": "Anna Example", "email": &long}), &long),
        ] {
            assert_eq!(person(claims).as_deref(), Ok(expected));
        }
        let control = json!({"groups": "staff", "name": "An\u{7}na", "email": "a@example.com"});
        assert_eq!(person(control).as_deref(), Ok("a@example.com"));
        assert_eq!(person(json!({"groups": "staff", "sub": "1"})), Err(Refusal::NoName));
    }

    #[test]
    fn an_allowed_domain_needs_a_verified_address() {
        let rules = AccessRules { allowed_domains: vec!["example.com".to_owned()], ..rules() };
        let with = |email: Value, verified: Value| {
            apply(&rules, json!({"name": "A", "groups": "staff", "email": email, "email_verified": verified}))
                .err()
        };
        assert_eq!(with(json!("a@Example.com"), json!(true)), None);
        assert_eq!(with(json!("a@example.com"), json!("true")), None);
        for (email, verified) in [
            (json!("a@example.com"), json!(false)),
            (json!("a@example.com"), json!(null)),
            (json!("a@evil.example.com"), json!(true)),
            (json!("example.com"), json!(true)),
            (json!("a@example.com@evil.com"), json!(true)),
            (json!(null), json!(true)),
        ] {
            assert_eq!(with(email.clone(), verified), Some(Refusal::Domain), "{email}");
        }
    }
}
