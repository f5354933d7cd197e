//! The address at which people's browsers reach the service.

use app::PublicUrl;

use super::Reader;
use super::keys::{Key, key};
use super::kind::Kind;

pub(super) const KEYS: &[Key] = &[key(
    "public_url",
    Kind::Text,
    "",
    "Origin at which people's browsers reach the service (`https://connect.example.com`): https, or http on loopback; without a path. People who connect their Vimeo account by OAuth open a page there, and each Vimeo app needs `{public_url}/connect/callback` as a redirect URI. Not set: the address of the listener if that is loopback; otherwise connections can be authorized only with the device flow.",
)];

impl Reader<'_> {
    pub(super) fn public_url(&mut self) -> Option<PublicUrl> {
        self.text("public_url")?;
        self.parsed("public_url", |text| PublicUrl::parse(text).map_err(|error| error.to_string()))
    }
}
