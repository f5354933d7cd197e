//! The startup output: the address, the credentials, and how to point client libraries at it.

use sandbox::Running;
use serde_json::json;

/// One line of JSON, for programs.
pub(crate) fn as_json(running: &Running) -> String {
    let Running { base_url, client_id, client_secret, access_token, .. } = running;
    json!({
        "base_url": base_url,
        "client_id": client_id,
        "client_secret": client_secret,
        "access_token": access_token,
    })
    .to_string()
}

/// Whether unknown credentials are accepted.
#[derive(Clone, Copy)]
pub(crate) enum OpenMode {
    Strict,
    Open,
}

/// A page of text for people. Each line of code after a name can be pasted unchanged.
pub(crate) fn as_text(running: &Running, open_mode: OpenMode) -> String {
    let Running { base_url, addr, client_id, client_secret, access_token, redirect_uri, .. } = running;
    let (host, port) = (addr.ip(), addr.port());
    let open_mode = match open_mode {
        OpenMode::Open => {
            "\nOpen mode is on: credentials that were never issued here belong to a guest app.\n"
        }
        OpenMode::Strict => "",
    };
    let consent = redirect_uri.as_ref().map_or_else(String::new, |redirect_uri| {
        let redirect_uri: String = form_urlencoded::byte_serialize(redirect_uri.as_bytes()).collect();
        format!(
            "Ask a user, in a browser:\n\
             \x20 {base_url}/oauth/authorize?response_type=code&client_id={client_id}&redirect_uri={redirect_uri}\n"
        )
    });
    format!(
        "Vimeo emulator: {base_url}\n\
         \n\
         client id      {client_id}\n\
         client secret  {client_secret}\n\
         access token   {access_token}\n\
         {open_mode}\n\
         See and control it (apps, tokens, videos, faults, the journal), in a browser or with curl:\n\
         \x20 {base_url}/_sandbox/\n\
         {consent}\
         \n\
         curl\n\
         \x20 curl -H 'Authorization: bearer {access_token}' {base_url}/me\n\
         PyVimeo\n\
         \x20 import vimeo; vimeo.VimeoClient.API_ROOT = '{base_url}'\n\
         \x20 client = vimeo.VimeoClient(token='{access_token}', key='{client_id}', secret='{client_secret}')\n\
         @vimeo/vimeo\n\
         \x20 const {{ Vimeo, vimeo_module }} = require('@vimeo/vimeo'); \
         Object.assign(vimeo_module.request_defaults, {{ protocol: 'http:', hostname: '{host}', port: {port} }})\n\
         \x20 const client = new Vimeo('{client_id}', '{client_secret}', '{access_token}')\n\
         tuspy (to a link that an upload was made with)\n\
         \x20 from tusclient.client import TusClient\n\
         \x20 send = lambda path, upload_link: TusClient('{base_url}').uploader(path, url=upload_link).upload()\n\
         tus-js-client (the same)\n\
         \x20 const tus = require('tus-js-client')\n\
         \x20 const send = (path, uploadUrl, onSuccess) => \
         new tus.Upload(require('node:fs').createReadStream(path), {{ uploadUrl, onSuccess }}).start()\n\
         Vimeo's libraries for phones, in their configurations\n\
         \x20 Android: .withBaseUrl(\"{base_url}\"), after `adb reverse tcp:{port} tcp:{port}`; iOS: baseUrl: {base_url}\n\
         vimeo.php\n\
         \x20 It cannot be pointed anywhere: its base URL is a constant, with TLS.\n\
         Any other\n\
         \x20 The base URL is {base_url}, without a version and without TLS.\n\
         Let the next request fail:\n\
         \x20 curl -d '{{\"route\": \"*\", \"kind\": \"status\", \"status\": 503}}' {base_url}/_sandbox/faults\n\
         \n\
         Ctrl-C stops it."
    )
}
