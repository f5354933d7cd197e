//! The configuration of the holder that encrypts the keys of the keyring: keys, and reading them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use key_holders::{HolderConfig, KmsConfig, Pkcs11Config, Timeouts, TransitAddress, TransitConfig};
use rustls::ClientConfig;

use super::keys::{Key, Reload, key};
use super::kind::Kind;
use super::{Reader, roots};

/// A key of which SIGHUP applies changes, as of the keyring.
const fn reloaded(name: &'static str, kind: Kind, default: &'static str, text: &'static str) -> Key {
    key(name, kind, default, text).on_reload(Reload::Yes)
}

pub(super) const KEYS: &[Key] = &[
    reloaded(
        "keyring.holder",
        Kind::Choice(&["none", "transit", "kms", "pkcs11"]),
        "none",
        "What encrypts the keys in `keyring.file`: `transit` (OpenBao or Vault), `kms` (AWS) or `pkcs11` (a token). The service asks it at the start and on SIGHUP. `kms` and `pkcs11` need a build with that feature. See docs/operations.md.",
    ),
    reloaded(
        "keyring.timeout_seconds",
        Kind::Number { least: 1, most: 300 },
        "5",
        "Time limit of each request to the holder.",
    ),
    reloaded(
        "keyring.transit.address",
        Kind::Text,
        "",
        "URL of OpenBao or Vault (`https://bao.example.com:8200`). https, or http on loopback.",
    ),
    reloaded("keyring.transit.mount", Kind::Text, "transit", "Where the transit engine is mounted."),
    reloaded(
        "keyring.transit.key",
        Kind::Text,
        "",
        "The name of the key, of type `aes256-gcm96`, `chacha20-poly1305` or `xchacha20-poly1305`.",
    ),
    reloaded(
        "keyring.transit.token_file",
        Kind::Text,
        "",
        "File with the token. Read at each request, so that an agent can renew it.",
    ),
    reloaded("keyring.transit.namespace", Kind::Text, "", "The namespace, if there is one."),
    reloaded(
        "keyring.transit.ca_file",
        Kind::Text,
        "",
        "PEM file with the root certificates for the server. Not set: those of `ca_file`.",
    ),
    reloaded(
        "keyring.kms.key",
        Kind::Text,
        "",
        "Identifier, ARN or alias of a symmetric key of AWS KMS. Credentials are found as in every AWS SDK: the variables `AWS_…`, a profile, or the role of the machine.",
    ),
    reloaded("keyring.kms.region", Kind::Text, "", "The region of the key."),
    reloaded(
        "keyring.kms.endpoint",
        Kind::Text,
        "",
        "URL of a private endpoint of KMS. Not set: the region's.",
    ),
    reloaded("keyring.pkcs11.module", Kind::Text, "", "The PKCS #11 library of the token's manufacturer."),
    reloaded("keyring.pkcs11.token", Kind::Text, "", "The label of the token."),
    reloaded("keyring.pkcs11.key", Kind::Text, "", "The label of an AES key on the token."),
    reloaded("keyring.pkcs11.pin_file", Kind::Text, "", "File with the PIN of the token's user."),
];

/// The holder and the time limits of its requests.
#[derive(Debug, Clone)]
pub(crate) struct KeyHolderConfig {
    pub(crate) holder: HolderConfig,
    pub(crate) timeouts: Timeouts,
}

impl KeyHolderConfig {
    /// The file with the secret for the holder, if there is one, and its key.
    pub(crate) fn secret_file(&self) -> Option<(&'static str, &Path)> {
        match &self.holder {
            HolderConfig::Transit(transit) => Some(("keyring.transit.token_file", &transit.token_file)),
            HolderConfig::Kms(_) => None,
            HolderConfig::Pkcs11(token) => Some(("keyring.pkcs11.pin_file", &token.pin_file)),
        }
    }
}

impl Reader<'_> {
    /// `None` if no holder encrypts the keyring, or after an error.
    pub(super) fn key_holder(&mut self, tls: Option<&ClientConfig>) -> Option<KeyHolderConfig> {
        let holder = self.text("keyring.holder").filter(|holder| holder != "none");
        let section = holder.as_ref().map(|holder| format!("keyring.{holder}."));
        let of_holders = KEYS.iter().filter(|key| key.name.matches('.').count() == 2);
        for key in of_holders.filter(|key| key.default.is_empty()) {
            let is_used = section.as_ref().is_some_and(|section| key.name.starts_with(section));
            if !is_used && self.text(key.name).is_some() {
                let kind = key.name.split('.').nth(1).unwrap_or_default();
                self.error::<()>(key.name, &format!("needs keyring.holder = \"{kind}\""));
            }
        }
        let holder = holder?;
        if self.text("keyring.value").is_some() {
            return self.error("keyring.holder", "needs keyring.file: a keyring.value is not encrypted");
        }
        let timeout = Duration::from_secs(self.number("keyring.timeout_seconds")?);
        let holder = match holder.as_str() {
            "transit" => self.transit(tls).map(Box::new).map(HolderConfig::Transit),
            "kms" => self.kms().map(HolderConfig::Kms),
            _ => self.pkcs11().map(HolderConfig::Pkcs11),
        };
        Some(KeyHolderConfig { holder: holder?, timeouts: Timeouts { connect: timeout, total: timeout } })
    }

    fn transit(&mut self, tls: Option<&ClientConfig>) -> Option<TransitConfig> {
        let address = self.required("keyring.transit.address", TransitAddress::parse);
        let mount = self.parsed("keyring.transit.mount", key_holders::parse_path);
        let key = self.required("keyring.transit.key", key_holders::parse_segment);
        let token_file = self.required_path("keyring.transit.token_file");
        let namespace = match self.text("keyring.transit.namespace") {
            Some(_) => Some(self.parsed("keyring.transit.namespace", key_holders::parse_path)?),
            None => None,
        };
        let tls = match self.text("keyring.transit.ca_file") {
            None => tls.cloned(),
            Some(path) => match roots::of_file(Path::new(&path)) {
                Ok(tls) => Some(tls),
                Err(error) => self.error("keyring.transit.ca_file", &error),
            },
        };
        Some(TransitConfig {
            address: address?,
            mount: mount?,
            key: key?,
            token_file: token_file?,
            namespace,
            tls,
        })
    }

    fn kms(&mut self) -> Option<KmsConfig> {
        let key = self.required("keyring.kms.key", as_it_is);
        let region = self.required("keyring.kms.region", key_holders::parse_segment);
        Some(KmsConfig { key: key?, region: region?, endpoint: self.text("keyring.kms.endpoint") })
    }

    fn pkcs11(&mut self) -> Option<Pkcs11Config> {
        let module = self.required_path("keyring.pkcs11.module");
        let token = self.required("keyring.pkcs11.token", as_it_is);
        let key = self.required("keyring.pkcs11.key", as_it_is);
        let pin_file = self.required_path("keyring.pkcs11.pin_file");
        Some(Pkcs11Config { module: module?, token: token?, key: key?, pin_file: pin_file? })
    }

    fn required<T>(&mut self, key: &'static str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        if self.text(key).is_none() {
            let kind = key.split('.').nth(1).unwrap_or_default();
            return self.error(key, &format!("is required with keyring.holder = \"{kind}\""));
        }
        self.parsed(key, parse)
    }

    fn required_path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.required(key, as_it_is).map(PathBuf::from)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a parser")]
fn as_it_is(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, load};
    use super::*;

    #[test]
    fn all_errors_of_a_holder_are_reported_at_once() {
        for (text, expected) in [
            (
                "keyring.holder = \"transit\"\nkeyring.transit.mount = \"a b\"\n",
                &["transit.address", "is required with", "transit.mount", "transit.key", "token_file"][..],
            ),
            ("keyring.holder = \"kms\"\n", &["keyring.kms.key", "keyring.kms.region"]),
            (
                "keyring.holder = \"pkcs11\"\n",
                &["pkcs11.module", "pkcs11.token", "pkcs11.key", "pkcs11.pin_file"],
            ),
            ("keyring.kms.key = \"a\"\n", &["needs keyring.holder = \"kms\""]),
            (
                "keyring.holder = \"kms\"\nkeyring.transit.key = \"a\"\n",
                &["needs keyring.holder = \"transit\"", "keyring.kms.key"],
            ),
            ("keyring.holder = \"vault\"\n", &["must be one of: none, transit, kms, pkcs11"]),
            ("keyring.timeout_seconds = 0\n", &["from 1 to 300"]),
            (
                "keyring.holder = \"transit\"\nkeyring.transit.address = \"http://bao\"\n",
                &["must start with https://"],
            ),
        ] {
            let errors = errors(text, &[]);
            for part in expected {
                assert!(errors.contains(part), "{part}: {errors}");
            }
        }
    }

    #[test]
    fn a_holder_is_read_from_file_and_environment() {
        let text = "[keyring]\nholder = \"transit\"\n[keyring.transit]\naddress = \"https://bao:8200/\"\nkey = \"k\"\n";
        let environment = [("VIMEO_CONNECTIONS_KEYRING__TRANSIT__TOKEN_FILE", "/run/token")];
        let holder = load(text, &environment).unwrap().0.key_holder.unwrap();
        assert_eq!(holder.timeouts, Timeouts::default());
        assert_eq!(holder.holder.describe(), "the transit key transit/k at https://bao:8200");
        assert!(load("", &[]).unwrap().0.key_holder.is_none());
    }

    #[test]
    fn a_keyring_in_the_environment_has_no_holder() {
        let value = ("VIMEO_CONNECTIONS_KEYRING__VALUE", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        let text = errors("keyring.holder = \"kms\"\n", &[value]);
        assert!(text.contains("a keyring.value is not encrypted"), "{text}");
    }
}
