use super::*;

pub(super) fn load(file: &str, environment: &[(&str, &str)]) -> Result<(Config, Layers), ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    std::fs::write(&path, file).unwrap();
    Config::load(Some(&path), Environment::of(environment))
}

pub(super) fn errors(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).err().expect("refused").to_string()
}

#[test]
fn the_defaults_are_a_complete_configuration() {
    let (config, layers) = load("", &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.base_path, "/pictoryapis");
    assert_eq!(config.database_url.to_string(), "sqlite:./data/vimeo-connections.db");
    assert_eq!(config.vimeo.base_url.to_string(), "https://api.vimeo.com");
    assert_eq!(config.vimeo.verification, VerificationMode::Required);
    assert!(config.vimeo.proxy.is_none() && config.bootstrap.is_none());
    assert_eq!(config.vimeo.required_scopes, ["private", "upload", "edit"]);
    assert_eq!((config.vimeo.budget, config.queue), (Duration::from_secs(5), 4096));
    assert_eq!(layers.source("listen"), Source::Default);
}

#[test]
fn the_environment_overrides_the_file_and_the_file_overrides_the_default() {
    let file = "listen = \"127.0.0.1:1\"\n[vimeo]\nbudget_seconds = 7\nrequired_scopes = [\"private\"]\n";
    let variables =
        [("VIMEO_CONNECTIONS_LISTEN", "127.0.0.1:2"), ("VIMEO_CONNECTIONS_VIMEO__VERIFICATION", "off")];
    let (config, layers) = load(file, &variables).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.vimeo.budget, Duration::from_secs(7));
    assert_eq!(config.vimeo.required_scopes, ["private"]);
    assert_eq!(config.vimeo.verification, VerificationMode::Off);
    assert_eq!(layers.source("vimeo.budget_seconds"), Source::File(3));
}

/// For every key: its variable is read, its value is checked, and the documentation lists it.
#[test]
fn every_key_can_be_set_from_the_environment() {
    let page = markdown();
    for key in limit_keys::all() {
        let value = match key.kind {
            keys::Kind::Number { least, .. } => least.to_string(),
            keys::Kind::Flag => "false".to_owned(),
            keys::Kind::Choice(choices) => choices[0].to_owned(),
            // An empty variable would count as not set.
            _ if key.default.is_empty() => "x".to_owned(),
            _ => key.default.to_owned(),
        };
        let variable = keys::variable(key.name);
        let layers =
            Layers::read(None, Environment::of(&[(&variable, &value)])).unwrap_or_else(|f| panic!("{f:?}"));
        assert_eq!(layers.source(key.name), Source::Environment(variable.clone()), "{}", key.name);
        assert!(page.contains(&format!("| `{}` | `{variable}` |", key.name)), "{}", key.name);
    }
}

#[test]
fn all_errors_are_reported_at_once_without_secrets() {
    let file = "lisen = \"x\"\n[vimeo]\nbudget_seconds = 0\nproxy = \"http://user:canary@h\"\n[keyring]\nvalu = \"canary\"\n";
    let text =
        errors(file, &[("VIMEO_CONNECTIONS_LISTENN", "x"), ("VIMEO_CONNECTIONS_STRICT_FIELDS", "canary")]);
    for expected in [
        "line 1 of the file: lisen is not a configuration key; did you mean listen?",
        "VIMEO_CONNECTIONS_LISTENN is not a configuration key; did you mean VIMEO_CONNECTIONS_LISTEN?",
        "vimeo.budget_seconds (line 3 of the file): must be a whole number from 1 to 300",
        "line 6 of the file: keyring.valu is not a configuration key; did you mean keyring.value?",
        "strict_fields (from VIMEO_CONNECTIONS_STRICT_FIELDS): must be true or false",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("canary"), "{text}");
    assert!(!errors("[keyring]\nvalue = canary\n", &[]).contains("canary"));
}

#[test]
fn security_settings_are_explicit_or_rejected() {
    for (file, expected) in [
        ("listen = \"0.0.0.0:8080\"", "listen: 0.0.0.0:8080 can be reached from other machines"),
        ("listen = \"[::]:8080\"", "can be reached from other machines"),
        ("listen = \"8080\"", "must be an address and a port"),
        ("[tls]\nkey_file = \"k\"", "go together"),
        ("[vimeo]\nbase_url = \"http://api.vimeo.com\"", "must start with https://"),
        ("[vimeo]\nverification = \"no\"", "must be one of: required, when-reachable, off"),
        ("[keyring]\nvalue = \"x\"\nfile = \"y\"", "only one can be used"),
        ("[keyring]\nvalue = \"correct horse battery staple\"", "or a passphrase, which is not supported"),
        ("[keyring]\nvalue = \"\"", "keyring.value (line 2 of the file): is empty"),
        ("[vimeo]\nproxy = \"socks5://h:1\"", "must be a proxy URL"),
        ("[vimeo]\nproxy = \"http://h:1\"\nbase_url = \"http://127.0.0.1:1\"", "must be on this machine"),
        ("database_url = \"mysql://u:hunter2@h/d\"", "it begins with neither"),
        ("database_url = \"postgres://u:hunter2@h/d?sslmode=prefer\"", "`prefer` is not supported"),
        ("[bootstrap]\napi_key_file = \"k\"", "needs bootstrap.account"),
        ("[bootstrap]\naccount = \"\\u0007\"", "must not contain control"),
        ("base_path = \"pictory\"", "must be a path"),
        ("public_url = \"http://connect.example.com\"", "public_url (line 1 of the file): must start with"),
        ("public_url = \"https://example.com/connect\"", "must not contain a user name, a path"),
        ("base_path = \"/a/{b}\"", "must be a path"),
        ("[store]\nqueue = 0", "from 1 to"),
        ("listen = 1979-05-27", "must not be a table or a date"),
        ("listen = ", "is not TOML: line 1: `listen` has no value"),
    ] {
        let text = errors(file, &[]);
        assert!(text.contains(expected), "{file}\n{text}");
    }
    assert!(load("listen = \"0.0.0.0:8080\"\nbehind_tls_proxy = true", &[]).is_ok());
    assert!(
        load("listen = \"0.0.0.0:8080\"\n[tls]\nkey_file = \"k\"\ncertificate_file = \"c\"", &[]).is_ok()
    );
    assert_eq!(load("base_path = \"/\"", &[]).unwrap().0.base_path, "");
    let (config, _) = load("public_url = \"https://connect.example.com/\"", &[]).unwrap();
    assert_eq!(config.public_url.unwrap().to_string(), "https://connect.example.com");
}

#[test]
fn an_explicitly_named_file_must_exist() {
    let error = Config::load(Some(Path::new("/nonexistent/c.toml")), Environment::of(&[])).err().unwrap();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn variables_of_kubernetes_services_with_similar_names_are_ignored() {
    let variables: Vec<_> = ["", "POSTGRESQL_"]
        .into_iter()
        .flat_map(|service| {
            [("SERVICE_HOST", "10.0.0.1"), ("PORT_5432_TCP", "tcp://10.0.0.1:5432"), ("SERVICE_PORT", "5432")]
                .map(|(rest, value)| (format!("VIMEO_CONNECTIONS_{service}{rest}"), value))
        })
        .collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert!(load("", &variables).is_ok());
    assert!(errors("", &[("VIMEO_CONNECTIONS_LISTEN_PORT", "8080")]).contains("is not a configuration key"));
}

#[test]
fn an_empty_variable_counts_as_not_set_for_every_key() {
    for key in limit_keys::all() {
        let variable = keys::variable(key.name);
        for empty in ["", " "] {
            let (_, layers) =
                load("", &[(&variable, empty)]).unwrap_or_else(|error| panic!("{variable}: {error}"));
            assert_eq!(layers.source(key.name), Source::Default, "{variable}");
        }
    }
}

#[test]
fn scopes_that_vimeo_does_not_have_are_rejected() {
    for (value, expected) in [
        (
            "[\"private upload\"]",
            "vimeo.required_scopes (line 2 of the file): has a scope with a space in it",
        ),
        ("[\"video\"]", "Vimeo has no scope video"),
        ("[\"uplaod\"]", "did you mean upload?"),
    ] {
        let text = errors(&format!("[vimeo]\nrequired_scopes = {value}\n"), &[]);
        assert!(text.contains(expected), "{text}");
    }
    let (config, _) = load("[vimeo]\nrequired_scopes = [\"private,upload\"]\n", &[]).unwrap();
    assert_eq!(config.vimeo.required_scopes, ["private", "upload"], "a comma separates in the file too");
}

#[test]
fn a_byte_order_mark_in_the_file_is_skipped() {
    let (config, _) = load("\u{feff}listen = \"127.0.0.1:7\"\n", &[]).unwrap();
    assert_eq!(config.listen.port(), 7);
}

#[test]
fn the_effective_configuration_is_valid_and_contains_no_secrets() {
    // The base64 of 32 bytes that start with "canary".
    let key = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=";
    let value = format!("[keyring]\nvalue = \"{key}\"\n[vimeo]\nproxy = \"http://u:canary@h:1\"\n");
    let (_, layers) = load(&value, &[("VIMEO_CONNECTIONS_VIMEO__REQUIRED_SCOPES", "private, edit")]).unwrap();
    let text = effective(&layers);
    assert!(!text.contains("canary") && !text.contains(key), "{text}");
    assert!(text.contains("keyring.value = \"<redacted>\"  # from the file"), "{text}");
    assert!(text.contains(
        "vimeo.required_scopes = [\"private\", \"edit\"]  # from VIMEO_CONNECTIONS_VIMEO__REQUIRED_SCOPES"
    ));
    assert!(text.parse::<toml::Table>().is_ok(), "{text}");
}
