//! Apps, which developers register with Vimeo, with credentials and an owner.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{AppId, Origin, UserId, VimeoState, hex};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct App {
    pub(crate) id: AppId,
    /// 40 hexadecimal characters.
    pub(crate) client_id: String,
    /// 128 characters, some of which need escaping in URLs.
    pub(crate) client_secret: String,
    /// Its earlier secrets, which are refused even where open mode accepts unknown ones.
    #[serde(default)]
    retired_secrets: Vec<String>,
    pub(crate) name: String,
    /// The user whose rate limit the app's own tokens use.
    pub(crate) owner: UserId,
    /// Whether Vimeo has granted the app upload access; without it users have no `upload_quota`.
    pub(crate) has_upload_access: bool,
    /// The redirect URIs, each compared character for character.
    pub(crate) redirect_uris: Vec<String>,
    /// Whether this is the app of credentials that were never issued here.
    pub(crate) is_guest: bool,
    /// Whether its developer has deleted it: its client id and its tokens are unknown then.
    #[serde(default)]
    pub(crate) is_deleted: bool,
}

impl App {
    /// Whether this value is one of its credentials, or was.
    fn issued(&self, value: &str) -> bool {
        self.client_id == value
            || self.client_secret == value
            || self.retired_secrets.iter().any(|retired| retired == value)
    }
}

/// The properties of a new app.
pub(crate) struct NewApp {
    pub(crate) name: String,
    pub(crate) has_upload_access: bool,
    pub(crate) redirect_uris: Vec<String>,
}

/// Why client credentials are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientRefusal {
    UnknownId,
    WrongSecret,
}

impl VimeoState {
    /// Adds an app with credentials and an owner of its own.
    pub(crate) fn add_app(&mut self, new: NewApp) -> App {
        let NewApp { name, has_upload_access, redirect_uris } = new;
        let id = AppId(self.take_number());
        let owner = self.add_user(format!("Owner of {name}")).id;
        let app = App {
            id,
            client_id: hex(&self.random_bytes::<20>()),
            client_secret: self.new_client_secret(),
            retired_secrets: Vec::new(),
            name,
            owner,
            has_upload_access,
            redirect_uris,
            is_guest: false,
            is_deleted: false,
        };
        self.apps.insert(id, app.clone());
        app
    }

    fn new_client_secret(&self) -> String {
        // 95 bytes are 128 characters in base64, ending with `=`, which incorrect escaping breaks.
        STANDARD.encode(self.random_bytes::<95>())
    }

    /// Gives an app a new client secret. The old one is refused from now on.
    pub(crate) fn rotate_client_secret(&mut self, id: AppId) {
        let fresh = self.new_client_secret();
        let Some(app) = self.apps.get_mut(&id) else { return };
        if self.first.client_id == app.client_id {
            // What a control shows as the first app's credentials has to work. A reset restores the old secret.
            self.first.client_secret.clone_from(&fresh);
        }
        app.retired_secrets.push(std::mem::replace(&mut app.client_secret, fresh));
    }

    /// Every app, oldest first.
    pub(crate) fn list_apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// The app that a control names, by client identifier or URI.
    pub(crate) fn find_app(&self, name: &str) -> Option<&App> {
        self.apps.values().find(|app| app.client_id == name || app.id.to_string() == name)
    }

    pub(crate) fn app_by_id(&self, id: AppId) -> Option<&App> {
        self.apps.get(&id)
    }

    /// The app, unless it was deleted.
    pub(crate) fn live_app(&self, id: AppId) -> Option<&App> {
        self.apps.get(&id).filter(|app| !app.is_deleted)
    }

    pub(crate) fn app_by_id_mut(&mut self, id: AppId) -> Option<&mut App> {
        self.apps.get_mut(&id)
    }

    /// The app of a client identifier, without a secret, as on the consent page.
    pub(crate) fn find_public_client(&self, client_id: &str) -> Option<&App> {
        let known = self.apps.values().find(|app| app.client_id == client_id && !app.is_deleted);
        known.or_else(|| self.guest_app(client_id))
    }

    /// The app that these client credentials belong to.
    pub(crate) fn find_client(&self, client_id: &str, client_secret: &str) -> Result<App, ClientRefusal> {
        if let Some(app) = self.apps.values().find(|app| app.client_id == client_id) {
            return if app.is_deleted {
                Err(ClientRefusal::UnknownId)
            } else if app.client_secret == client_secret {
                Ok(app.clone())
            } else {
                Err(ClientRefusal::WrongSecret)
            };
        }
        let guest = self.guest_app(client_id).ok_or(ClientRefusal::UnknownId)?;
        if self.is_issued(client_secret) {
            // A known identifier with another app's secret must not be accepted.
            return Err(ClientRefusal::UnknownId);
        }
        if is_plausible(client_secret) { Ok(guest.clone()) } else { Err(ClientRefusal::WrongSecret) }
    }

    /// The guest app, if open mode is on and this value may be a guest's.
    pub(super) fn guest_app(&self, value: &str) -> Option<&App> {
        let guest = self.apps.get(&self.guest?)?;
        (is_plausible(value) && !self.is_issued(value)).then_some(guest)
    }

    /// Whether the sandbox issued this value as any kind of credential.
    fn is_issued(&self, value: &str) -> bool {
        self.tokens.get(value).is_some_and(|token| token.origin != Origin::Guest)
            || self.apps.values().any(|app| app.issued(value))
    }
}

/// Whether open mode accepts this value as a credential. Values with `invalid` or `expired` are rejected, for
/// demonstrations.
fn is_plausible(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && !lower.contains("invalid")
        && !lower.contains("expired")
}
