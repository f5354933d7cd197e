//! The configuration of signing in at an identity provider: keys, and reading them.

use std::net::SocketAddr;
use std::path::PathBuf;

use domain::account::Label;
use domain::session::Role;
use oidc::{AccessRules, AccountRule, Issuer};

use super::Reader;
use super::keys::{Key, key, split_list};
use super::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    key(
        "oidc.issuer",
        Kind::Text,
        "",
        "URL of an OpenID Connect provider at which people sign in to the dashboard, exactly as its discovery document names it in `issuer`: https, or http on loopback. Register `{public_url}/dashboard/sign-in/oidc/callback` there as a redirect URI. Needs `public_url`, unless the listener is on loopback. Not set: people sign in with API keys and links.",
    ),
    key("oidc.client_id", Kind::Text, "", "The identifier of this service at the provider."),
    key(
        "oidc.client_secret_file",
        Kind::Text,
        "",
        "File with the secret of this service at the provider. Read at the start.",
    ),
    key(
        "oidc.name",
        Kind::Text,
        "",
        "The provider's name on the button of the sign-in page (`Continue with NAME`). Not set: the host of `oidc.issuer`.",
    ),
    key(
        "oidc.scopes",
        Kind::List,
        "openid,profile,email",
        "Scopes that are requested. Add those that make the provider send the claims below, such as `groups`.",
    ),
    key(
        "oidc.account",
        Kind::Text,
        "",
        "The name of the account in which all people work. This or `oidc.account_claim` is required.",
    ),
    key(
        "oidc.account_claim",
        Kind::Text,
        "",
        "Instead: the claim that names a person's account. If it is a list, the first account that exists counts. A claim inside another one is written with dots (`realm_access.roles`). Only for a provider whose users cannot change the claim.",
    ),
    key(
        "oidc.role_claim",
        Kind::Text,
        "",
        "The claim with a person's groups or roles: a text or a list of texts.",
    ),
    key(
        "oidc.role_map",
        Kind::List,
        "",
        "Which role a value of this claim gives: `VALUE=owner`, `VALUE=member` or `VALUE=read-only`. Of several, the highest counts. A session keeps its role until it ends or the person confirms who they are.",
    ),
    key(
        "oidc.default_role",
        Kind::Text,
        "",
        "The role of a person without such a value: `owner`, `member` or `read-only`. Not set: they have no access.",
    ),
    key(
        "oidc.allowed_domains",
        Kind::List,
        "",
        "Only people whose verified email address (`email` and `email_verified`) has one of these domains sign in. Not set: all to whom the other rules give access.",
    ),
];

/// The keys that must be set together with the issuer.
const REQUIRED: [&str; 2] = ["oidc.client_id", "oidc.client_secret_file"];
/// Settings of the identity provider.
#[derive(Debug)]
pub(crate) struct OidcConfig {
    pub(crate) issuer: Issuer,
    pub(crate) client_id: String,
    pub(crate) client_secret_file: PathBuf,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) rules: AccessRules,
}

impl Reader<'_> {
    /// `None` if people do not sign in at a provider, or after an error.
    pub(super) fn oidc(&mut self, listen: Option<SocketAddr>) -> Option<OidcConfig> {
        if self.text("oidc.issuer").is_none() {
            // A default says nothing.
            for key in KEYS.iter().filter(|key| key.default.is_empty()) {
                if self.text(key.name).is_some() {
                    self.error::<()>(key.name, "needs oidc.issuer");
                }
            }
            return None;
        }
        let issuer =
            self.parsed("oidc.issuer", |text| Issuer::parse(text).map_err(|error| error.to_string()));
        for key in REQUIRED {
            if self.text(key).is_none() {
                self.error::<()>(key, "is required with oidc.issuer");
            }
        }
        if self.text("public_url").is_none() && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            self.error::<()>(
                "public_url",
                "is required with oidc.issuer: the provider sends browsers back to {public_url}/dashboard/sign-in/oidc/callback",
            );
        }
        if !self.flag("dashboard.enabled") {
            self.error::<()>("oidc.issuer", "needs dashboard.enabled = true");
        }
        let rules = self.access_rules();
        let name = self.text("oidc.name");
        let issuer = issuer?;
        Some(OidcConfig {
            client_id: self.text("oidc.client_id")?,
            client_secret_file: self.text("oidc.client_secret_file")?.into(),
            name: name.unwrap_or_else(|| issuer.host().to_owned()),
            issuer,
            scopes: split_list(&self.text("oidc.scopes").unwrap_or_default()),
            rules: rules?,
        })
    }

    fn access_rules(&mut self) -> Option<AccessRules> {
        let account = match (self.text("oidc.account"), self.text("oidc.account_claim")) {
            (Some(_), None) => {
                let name = |text: &str| Label::parse(text).map_err(|error| error.to_string());
                self.parsed("oidc.account", name).map(AccountRule::Fixed)
            }
            (None, Some(claim)) => Some(AccountRule::Claim(claim)),
            (Some(_), Some(_)) => {
                self.error("oidc.account", "and oidc.account_claim are both set: only one can be used")
            }
            (None, None) => {
                self.error("oidc.account", "is required with oidc.issuer, or oidc.account_claim instead")
            }
        };
        let role_claim = self.text("oidc.role_claim");
        let role_map = self.parsed("oidc.role_map", parse_role_map);
        let default_role = self.text("oidc.default_role").and_then(|_| {
            self.parsed("oidc.default_role", |role| Role::parse(role).map_err(|error| error.to_string()))
        });
        let has_map = role_map.as_ref().is_none_or(|map| !map.is_empty());
        match (&role_claim, has_map) {
            (Some(_), false) => self.error::<()>("oidc.role_claim", "and oidc.role_map go together"),
            (None, true) if self.text("oidc.role_map").is_some() => {
                self.error("oidc.role_map", "and oidc.role_claim go together")
            }
            (None, _) if self.text("oidc.default_role").is_none() => self.error(
                "oidc.default_role",
                "is required without oidc.role_claim: otherwise no one has access",
            ),
            _ => None,
        };
        let allowed_domains = split_list(&self.text("oidc.allowed_domains").unwrap_or_default());
        Some(AccessRules {
            account: account?,
            role_claim,
            role_map: role_map?,
            default_role,
            allowed_domains,
        })
    }
}

/// `VALUE=ROLE`, separated by commas. A value may have `=`.
fn parse_role_map(text: &str) -> Result<Vec<(String, Role)>, String> {
    let entry = |entry: String| {
        let (value, role) = entry.rsplit_once('=')?;
        let role = Role::parse(role.trim()).ok()?;
        let value = value.trim();
        (!value.is_empty()).then(|| (value.to_owned(), role))
    };
    let map: Option<Vec<_>> = split_list(text).into_iter().map(entry).collect();
    map.ok_or_else(|| "must be a list of VALUE=ROLE, where ROLE is owner, member or read-only".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, load};
    use super::*;

    const COMPLETE: &str = "oidc.issuer = \"https://id.example.com/x\"\noidc.client_id = \"c\"\n\
        oidc.client_secret_file = \"s\"\noidc.account = \"acme\"\n";

    #[test]
    fn all_errors_are_reported_at_once() {
        let text = errors("oidc.issuer = \"http://id.example.com\"\noidc.role_map = [\"a\"]", &[]);
        for (key, expected) in [
            ("oidc.issuer (line 1 of the file)", "must start with https://"),
            ("oidc.client_id", "is required with oidc.issuer"),
            ("oidc.client_secret_file", "is required with oidc.issuer"),
            ("oidc.account", "or oidc.account_claim instead"),
            ("oidc.role_map (line 2 of the file)", "must be a list of VALUE=ROLE"),
        ] {
            assert!(text.contains(key) && text.contains(expected), "{key}: {expected}: {text}");
        }
    }

    #[test]
    fn settings_of_the_provider_go_together() {
        for (more, expected) in [
            ("", "is required without oidc.role_claim"),
            ("oidc.default_role = \"admin\"", "must be owner, member or read-only"),
            ("oidc.role_claim = \"groups\"", "oidc.role_map go together"),
            ("oidc.role_map = [\"a=owner\"]\noidc.default_role = \"member\"", "oidc.role_claim go together"),
            ("oidc.account_claim = \"a\"\noidc.default_role = \"member\"", "only one can be used"),
            ("oidc.default_role = \"member\"\ndashboard.enabled = false", "needs dashboard.enabled"),
            (
                "oidc.default_role = \"member\"\nlisten = \"0.0.0.0:80\"\nbehind_tls_proxy = true",
                "is required with oidc.issuer: the provider sends browsers back",
            ),
        ] {
            let text = errors(&format!("{COMPLETE}{more}"), &[]);
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let text = errors("oidc.account = \"acme\"", &[]);
        assert!(text.contains("needs oidc.issuer"), "{text}");
    }

    #[test]
    fn the_name_of_the_provider_is_its_host_by_default() {
        let (config, _) = load(&format!("{COMPLETE}oidc.default_role = \"member\""), &[]).unwrap();
        let oidc = config.oidc.unwrap();
        assert_eq!((&*oidc.name, oidc.rules.default_role), ("id.example.com", Some(Role::Member)));
        assert_eq!(oidc.scopes, ["openid", "profile", "email"]);
        assert!(load("", &[]).unwrap().0.oidc.is_none());
    }

    #[test]
    fn a_role_map_is_a_list_of_values_and_roles() {
        let map = parse_role_map("admins=owner, cn=staff=read-only").unwrap();
        let expected = [("admins", Role::Owner), ("cn=staff", Role::ReadOnly)];
        assert_eq!(map, expected.map(|(value, role)| (value.to_owned(), role)));
        assert_eq!(parse_role_map(""), Ok(Vec::new()));
        for bad in ["admins", "admins=", "=owner", "admins=admin", "a=owner,b"] {
            assert!(parse_role_map(bad).is_err(), "{bad}");
        }
    }
}
