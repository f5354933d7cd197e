//! What the sandbox says when it starts: where it is, what to come in with, and how to point a client library at it.

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

/// A page of text, for people. Each line after a name can be pasted as it stands.
pub(crate) fn as_text(running: &Running, open: bool, redirect_uri: &str) -> String {
    let Running { base_url, addr, client_id, client_secret, access_token, .. } = running;
    let (host, port) = (addr.ip(), addr.port());
    let door = if open {
        "\nThe door is open: credentials that were never issued here belong to a guest app.\n"
    } else {
        ""
    };
    let redirect_uri: String = form_urlencoded::byte_serialize(redirect_uri.as_bytes()).collect();
    format!(
        "A Vimeo on your desk: {base_url}\n\
         \n\
         client id      {client_id}\n\
         client secret  {client_secret}\n\
         access token   {access_token}\n\
         {door}\n\
         See and steer it (apps, tokens, videos, faults, the journal), in a browser or with curl:\n\
         \x20 {base_url}/_sandbox/\n\
         Ask a user, in a browser:\n\
         \x20 {base_url}/oauth/authorize?response_type=code&client_id={client_id}&redirect_uri={redirect_uri}\n\
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
         tus-js-client\n\
         \x20 new tus.Upload(file, {{ uploadUrl: video.upload.upload_link }}).start()\n\
         tuspy\n\
         \x20 tusclient.client.TusClient('').uploader('film.mp4', url=video['upload']['upload_link']).upload()\n\
         Any other\n\
         \x20 The base URL is {base_url}, without a version and without TLS.\n\
         Let the next request fail:\n\
         \x20 curl -d '{{\"route\": \"*\", \"kind\": \"status\", \"status\": 503}}' {base_url}/_sandbox/faults\n\
         \n\
         Ctrl-C stops it."
    )
}
