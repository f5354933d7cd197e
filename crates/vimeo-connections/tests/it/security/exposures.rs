//! Every call that takes a secret out of its type is listed here, with a reason.

use std::fs;
use std::path::Path;

use super::page_exposures::PAGES;
use crate::support::canaries::files;

/// File, line of code, and the reason to expose the secret.
const KNOWN: &[(&str, &str, &str)] = &[
    ("domain/src/api_key.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("domain/src/api_key.rs", "self.0.expose()", "the definition"),
    (
        "domain/src/api_key.rs",
        "key_strength::estimate_bits(self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default())",
        "its strength is estimated",
    ),
    (
        "domain/src/api_key.rs",
        "let rest = self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default();",
        "its checksum is verified",
    ),
    (
        "domain/src/api_key.rs",
        "let text = self.0.expose();",
        "the last four characters, by which keys are distinguished",
    ),
    ("domain/src/connection.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("domain/src/connection.rs", "self.0.expose()", "the definition"),
    (
        "domain/src/connection.rs",
        "text::without_quotes(self.0.expose()).is_some()",
        "only checked for quotation marks",
    ),
    ("domain/src/secret.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("seal/src/envelope.rs", "secrets.client_secret.expose().as_bytes(),", "it is sealed"),
    ("seal/src/envelope.rs", "secrets.access_token.expose().as_bytes(),", "it is sealed"),
    ("seal/src/sealed_keyring_file.rs", "pub fn expose(&self) -> &[u8; KEY_LEN] {", "the definition"),
    (
        "vimeo-connections/src/keyring_source.rs",
        "let text = holder.encrypt(&id.0, key.expose()).await.map_err(KeyringSourceError::Holder)?;",
        "sent to its holder, which encrypts it",
    ),
    ("key_holders/src/secret_file.rs", "pub(crate) fn expose(&self) -> &str {", "the definition"),
    (
        "key_holders/src/transit/mod.rs",
        "let mut value = HeaderValue::from_str(token.expose())",
        "sent to OpenBao in a header",
    ),
    ("key_holders/src/pkcs11.rs", "let pin = AuthPin::from(pin.expose().to_owned());", "given to the token"),
    (
        "seal/src/service.rs",
        "HashedKey(self.sign(|keys| &keys.api_key_hash, key.expose().as_bytes()))",
        "it is hashed",
    ),
    (
        "seal/src/service.rs",
        "let hashes = self.signatures(|keys| &keys.api_key_hash, key.expose().as_bytes());",
        "it is hashed",
    ),
    (
        "vimeo/src/oauth.rs",
        ".basic_auth(identifier.as_str(), Some(secret.expose()))",
        "sent to Vimeo in a header",
    ),
    (
        "vimeo/src/oauth.rs",
        r#"let request = self.request(Method::GET, "/oauth/verify").bearer_auth(token.expose());"#,
        "sent to Vimeo in a header",
    ),
    (
        "vimeo/src/oauth.rs",
        r#"let request = self.request(Method::DELETE, "/tokens").bearer_auth(token.expose());"#,
        "sent to Vimeo in a header",
    ),
    (
        "vimeo/src/verify.rs",
        "let own_token = credentials.access_token.expose();",
        "compared, so that the caller's own token is not revoked",
    ),
    (
        "vimeo/src/verify.rs",
        "if let Some(token) = stray_token.filter(|token| token.expose() != own_token) {",
        "compared with the caller's own token",
    ),
    (
        "vimeo-connections/src/cli/keys.rs",
        r#"object.insert("key".to_owned(), json!(created.plain.expose()));"#,
        "a new key is shown once",
    ),
    (
        "vimeo-connections/src/cli/keys.rs",
        "output::print(&new_key_text(created.plain.expose(), created.key.id.as_str(), account.name.as_str()))",
        "a new key is shown once",
    ),
    (
        "vimeo-connections/src/bootstrap.rs",
        r#"let line = Zeroizing::new(format!("{}\n", plain.expose()));"#,
        "written to the file of the bootstrap key, for its owner alone",
    ),
    ("vimeo/src/proxy.rs", "reqwest::Proxy::all(self.0.expose())", "the password is sent to the proxy"),
    (
        "app/src/uploads/executor.rs",
        "let sealed = key.seal(sealed_as, link.expose().as_bytes(), &self.context.randomness);",
        "it is sealed",
    ),
    ("app/src/webhooks/content.rs", "url: Zeroizing::new(self.url.expose().to_owned()),", "it is sealed"),
    (
        "app/src/webhooks/content.rs",
        "let url = Zeroizing::new(self.url.expose().to_owned());",
        "it is sealed",
    ),
    (
        "app/src/webhooks/job_webhooks.rs",
        "let (Some(event_type), Ok(url)) = (end_of(&job.state), url::Url::parse(target.url.expose())) else {",
        "its origin limits concurrent deliveries",
    ),
    (
        "app/src/webhooks/message.rs",
        "Ok(Message { url: allowed(webhooks, opened.url.expose())?, body, secrets })",
        "its form is validated again",
    ),
    (
        "app/src/webhooks/message.rs",
        "Ok(Message { url: allowed(webhooks, operator.url.expose())?, body, secrets })",
        "its form is validated again",
    ),
    (
        "app/src/webhooks/message.rs",
        "Ok(Message { url: allowed(webhooks, opened.url.expose())?, body: opened.body.to_vec(), secrets })",
        "its form is validated again",
    ),
    ("app/src/uploads/request_form.rs", "Zeroizing::new(secret.expose().to_owned())", "it is sealed"),
    (
        "app/src/uploads/sources.rs",
        "egress.validate(url.expose()).map_err(|_| failure(FailureCode::SourceUnreachable, UNREACHABLE))",
        "its form is validated again",
    ),
    (
        "egress/src/request_headers.rs",
        "self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))",
        "for sealing",
    ),
    ("egress/src/request_headers.rs", "self.0.expose().as_bytes()", "sent to the source in a header"),
    ("egress/src/url.rs", "Url::parse(self.url.expose()).map_err(|_| UrlError::NotAUrl)", "it is requested"),
    (
        "vimeo-connections/src/cli/keys/pasted.rs",
        "Some(other) if other.expose() != key.expose() => return Err(SeveralKeys),",
        "compared with another key of the same text",
    ),
    (
        "vimeo-connections/src/cli/uploads/once.rs",
        "options.settings.password.as_ref().map(|password| digest(password.as_secret().expose()));",
        "hashed, to be compared",
    ),
    (
        "vimeo-connections/src/cli/uploads/once.rs",
        "let lines = [upload.job_id.as_str(), &upload.video.to_string(), upload.link.expose()];",
        "stored sealed for a retry",
    ),
    (
        "vimeo-connections/src/cli/uploads/once.rs",
        r#"let source = format!("{} {}", url.shown(), digest(url.secret().expose()));"#,
        "hashed, to distinguish URLs",
    ),
    (
        "vimeo-connections/src/cli/uploads/wire.rs",
        r#"add("password", password.as_ref().map(|password| json!(password.as_secret().expose())));"#,
        "sent to the remote service in a body",
    ),
    (
        "vimeo-connections/src/client/http.rs",
        r#"let mut header = HeaderValue::from_str(key.expose()).unwrap_or_else(|_| HeaderValue::from_static(""));"#,
        "sent to the remote service in a header",
    ),
    (
        "vimeo/src/session.rs",
        "self.client.request_built(method, path).bearer_auth(self.token.expose())",
        "sent to Vimeo in a header",
    ),
    (
        "vimeo/src/session.rs",
        "Redactor::new(self.token.expose(), password.as_slice())",
        "searched for in responses of Vimeo, so that it is not echoed",
    ),
    (
        "vimeo/src/redact.rs",
        "add_forms(&mut needles, password.expose(), PASSWORD_RUN);",
        "searched for in responses of Vimeo, so that it is not echoed",
    ),
    (
        "vimeo/src/session/changes.rs",
        "password: change.password.as_ref().map(Secret::expose),",
        "sent to Vimeo",
    ),
    ("vimeo/src/session/videos.rs", "password: new.password.map(Secret::expose),", "sent to Vimeo"),
    (
        "vimeo/src/session/videos.rs",
        "match UploadLink::parse(link.expose(), &self.client.link_rules) {",
        "the link is validated",
    ),
    (
        "vimeo/src/tus.rs",
        "self.links.request(method, link.expose()).header(TUS_RESUMABLE, VERSION)",
        "sent to its own server",
    ),
    (
        "vimeo/src/session.rs",
        "FileLink::parse(link.expose(), &self.client.link_rules).ok()",
        "the link is validated",
    ),
    ("vimeo/src/file_link.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("vimeo/src/file_link.rs", "self.0.expose()", "the definition"),
    (
        "vimeo/src/file_link.rs",
        "let request = self.links.put(link.expose()).header(CONTENT_TYPE, content_type).body(bytes);",
        "sent to its own server",
    ),
    ("vimeo/src/tus/link.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("vimeo/src/tus/link.rs", "self.0.expose()", "the definition"),
    (
        "web/src/v1/api_key.rs",
        "Self { created: ApiKeyOut::new(&new.key, KeyStatus::Active), key: new.plain.expose() }",
        "a new key is returned once",
    ),
    (
        "web/src/v1/job.rs",
        "let read = serde_json::from_str::<&RawValue>(input.expose());",
        "sent to the webhook",
    ),
    ("web/src/v1/upload.rs", "upload_link: upload.link.expose(),", "shown once"),
    (
        "web/src/v1/webhook_endpoint.rs",
        "url: shown.url.expose(),",
        "shown to the account that set it, with webhooks:manage",
    ),
    (
        "web/src/v1/webhook_endpoint.rs",
        "Self { endpoint: EndpointOut::from(&created.shown), secret: created.secret.expose() }",
        "shown once",
    ),
    (
        "oidc/src/provider.rs",
        "let secret = ClientSecret::new(self.options.client_secret.expose().to_owned());",
        "sent to the identity provider",
    ),
    (
        "vimeo-connections/src/wiring.rs",
        "egress.validate(operator.url.expose()).map_err(WiringError::OperatorUrl)?;",
        "its form is validated",
    ),
    (
        "app/src/authorizations/callback.rs",
        "let Some(account) = account_of_token(state.expose()) else { return Ok(CallbackResult::InvalidState) };",
        "the account in a token",
    ),
    (
        "app/src/authorizations/callback.rs",
        "for hash in self.service_keys().hashes_of_browser_token(TokenKind::State, state.expose()) {",
        "hashed, to be found",
    ),
    (
        "app/src/authorizations/callback.rs",
        "keys.hashes_of_browser_token(TokenKind::Binding, binding.expose())",
        "hashed, to be compared",
    ),
    (
        "app/src/authorizations/content.rs",
        "device_code: Zeroizing::new(device_code.expose().to_owned()),",
        "it is sealed",
    ),
    (
        "app/src/authorizations/content.rs",
        "user_code: Zeroizing::new(prompt.user_code.expose().to_owned()),",
        "it is sealed",
    ),
    (
        "app/src/authorizations/content.rs",
        "client_secret: Zeroizing::new(self.client_secret.expose().to_owned()),",
        "it is sealed",
    ),
    (
        "app/src/authorizations/create.rs",
        "let connect_hash = self.service_keys().hash_browser_token(TokenKind::Connect, token.expose());",
        "hashed, to be stored",
    ),
    (
        "app/src/authorizations/create.rs",
        r#"connect_url.map(|url| Secret::new(url.join(&format!("{CONNECT_PATH}{}", token.expose()))));"#,
        "part of the address of the hosted page, which is a secret too",
    ),
    (
        "app/src/authorizations/page.rs",
        "state: self.service_keys().hash_browser_token(TokenKind::State, state.expose()),",
        "hashed, to be stored",
    ),
    (
        "app/src/authorizations/page.rs",
        "binding: self.service_keys().hash_browser_token(TokenKind::Binding, binding.expose()),",
        "hashed, to be stored",
    ),
    (
        "vimeo/src/authorize.rs",
        r#".append_pair("state", request.state.expose());"#,
        "part of the address at Vimeo, which is a secret too",
    ),
    ("vimeo/src/authorize.rs", r#"("code", code.expose()),"#, "sent to Vimeo in a body"),
    ("vimeo/src/authorize.rs", r#"("device_code", device_code.expose()),"#, "sent to Vimeo in a body"),
    ("vimeo/src/authorize.rs", r#"("user_code", user_code.expose()),"#, "sent to Vimeo in a body"),
    (
        "vimeo/src/authorize.rs",
        "Ok(request.basic_auth(app.identifier.as_str(), Some(app.secret.expose())))",
        "sent to Vimeo in a header",
    ),
    (
        "vimeo/src/authorize.rs",
        "let Ok(access_token) = AccessToken::parse(token.expose()) else { return Err(unexpected) };",
        "its form is checked",
    ),
    (
        "vimeo/src/authorize.rs",
        "let redactor = Redactor::new(access_token.expose(), &[]);",
        "searched for in responses of Vimeo, so that it is not echoed",
    ),
    (
        "web/src/v1/authorization.rs",
        "user_code: device.as_ref().map(|device| device.user_code.expose()),",
        "shown to the account, for the person who enters it",
    ),
    (
        "web/src/v1/authorization.rs",
        "let connect_url = created.connect_url.as_ref().map(Secret::expose);",
        "shown once",
    ),
    (
        "web/src/v1/webhook_secrets.rs",
        "Ok((StatusCode::CREATED, Json(WebhookSecretOut { secret: secret.expose() })).into_response())",
        "shown once",
    ),
    ("domain/src/session.rs", "pub fn expose(&self) -> &str {", "the definition"),
    ("domain/src/session.rs", "self.text.expose()", "the definition"),
    (
        "vimeo-connections/src/cli/uploads/wire.rs",
        r#"Some(Thumbnail::Image(url)) => add("thumbnail", Some(json!({ "url": url.expose() }))),"#,
        "sent to the service, or hashed",
    ),
    (
        "vimeo-connections/src/cli/uploads/wire.rs",
        r#""url": track.url.expose(),"#,
        "sent to the service, or hashed",
    ),
    (
        "vimeo-connections/src/cli/accounts.rs",
        "let path = web::sign_in_path(link.token.expose());",
        "shown once",
    ),
];

/// Lines of the crates, without their tests, that contain `expose`.
fn exposures() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut found = Vec::new();
    for file in files(&crates) {
        let name = file.strip_prefix(&crates).unwrap().to_str().unwrap().to_owned();
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        let is_source = name.split('/').nth(1) == Some("src") && is_rust;
        if !is_source || name.ends_with("/tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines =
            program.lines().map(str::trim).filter(|line| !line.starts_with("//") && names_expose(line));
        found.extend(lines.map(|line| (name.clone(), line.to_owned())));
    }
    found.sort();
    found
}

/// As a whole word, not as a part of another.
fn names_expose(line: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "expose")
}

#[test]
fn every_expose_call_is_listed_with_a_reason() {
    let found = exposures();
    for (file, line) in &found {
        let is_known = KNOWN.iter().chain(PAGES).any(|known| (known.0, known.1) == (file, line));
        assert!(is_known, "a new place that exposes a secret: {file}: {line}. Add it to KNOWN with a reason");
    }
    for (file, line, _) in KNOWN.iter().chain(PAGES) {
        let is_there = found.iter().any(|(path, text)| (path.as_str(), text.as_str()) == (file, line));
        assert!(is_there, "{file} no longer has `{line}`: remove it from KNOWN");
    }
}
