//! `config check` and `serve` agree on random configurations and database privileges.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::installation::{
    KEYRING, STRONG, WEAK, check, installation, installation_with_accounts, open_database,
    revert_last_migration, serve, tls,
};
use crate::support::postgres::{Postgres, Version, sql};

/// Parts of a configuration. The first of each is valid.
const PARTS: [&[&str]; 6] = [
    &["", "base_path = \"/\"\n", "base_path = \"none\"\n"],
    &["", "cors_origins = [\"https://a.example\"]\n", "cors_origins = [\"a.example\"]\n"],
    &["", "vimeo.required_scopes = [\"upload\"]\n", "vimeo.required_scopes = [\"video\"]\n"],
    &["", "sources.spool_directory = \".\"\n", "sources.spool_directory = \"vimeo-connections.toml\"\n"],
    &[
        "",
        "database_url = \"sqlite:new/deep/a.db\"\n",
        "database_url = \"sqlite:vimeo-connections.toml/a.db\"\n",
    ],
    &[
        "",
        "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"a.key\"\n",
        "bootstrap.account = \"a\"\nbootstrap.api_key_file = \"absent/a.key\"\n",
    ],
];
const CHAINS: [(&str, &str); 5] = [
    ("", ""),
    ("ours.pem", "ours.key"),
    ("old.pem", "ours.key"),
    ("ours.pem", "other.key"),
    ("absent.pem", "ours.key"),
];

/// The state of the database in its default location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    New,
    Current,
    Older,
    Locked,
    OlderAndLocked,
}

/// The content of the bootstrap file.
#[derive(Debug, Clone, Copy)]
enum Key {
    Absent,
    OfB,
    Weak,
    New,
}

fn put_in_state(directory: &Path, state: Database) -> Option<rusqlite::Connection> {
    if matches!(state, Database::New | Database::Current) {
        return None;
    }
    let database = open_database(directory);
    if matches!(state, Database::Older | Database::OlderAndLocked) {
        revert_last_migration(&database);
    }
    if matches!(state, Database::Locked | Database::OlderAndLocked) {
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        return Some(database);
    }
    None
}

#[test]
fn config_check_and_serve_agree_on_random_configurations() {
    let faultless = prop_oneof![6 => 0..2_usize, 1 => Just(2_usize)];
    let chain = prop_oneof![4 => 0..3_usize, 1 => 3..5_usize];
    let has_keyring = prop_oneof![8 => Just(true), 1 => Just(false)];
    // A locked database costs two waits of five seconds.
    let database = prop_oneof![
        3 => Just(Database::New),
        3 => Just(Database::Current),
        2 => Just(Database::Older),
        1 => Just(Database::Locked),
        1 => Just(Database::OlderAndLocked)
    ];
    let key = prop_oneof![Just(Key::Absent), Just(Key::OfB), Just(Key::Weak), Just(Key::New)];
    let cases = (proptest::collection::vec(faultless, PARTS.len()), chain, has_keyring, database, key);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let verdicts = std::cell::Cell::new((0, 0));
    runner
        .run(&cases, |(choices, chain, has_keyring, state, bootstrap_key)| {
            let mut config: String = PARTS.iter().zip(&choices).map(|(part, choice)| part[*choice]).collect();
            let (certificate, key) = CHAINS[chain];
            if !certificate.is_empty() {
                config.push_str(&tls(certificate, key));
            }
            let directory = if state == Database::New {
                installation(&config)
            } else {
                // The database is in its default location, whatever the configuration says later.
                let directory = installation_with_accounts("");
                let file = directory.path().join("vimeo-connections.toml");
                let always = fs::read_to_string(&file).unwrap();
                fs::write(&file, format!("{always}{config}")).unwrap();
                directory
            };
            let _lock = put_in_state(directory.path(), state);
            match bootstrap_key {
                Key::Absent => {}
                Key::OfB => fs::write(directory.path().join("a.key"), STRONG).unwrap(),
                Key::Weak => fs::write(directory.path().join("a.key"), WEAK).unwrap(),
                Key::New => {
                    let new = "pictai_0a7e45fceea167a5a36dedd4bea25431b2a9\n";
                    fs::write(directory.path().join("a.key"), new).unwrap();
                }
            }
            if !has_keyring {
                fs::remove_file(directory.path().join(KEYRING)).unwrap();
            }
            let (is_accepted, checked) = check(directory.path());
            let served = serve(directory.path());
            prop_assert_eq!(is_accepted, served.is_ok(), "{}\n{}\n{:?}", config, checked, served);
            let (accepted, refused) = verdicts.get();
            verdicts.set(if is_accepted { (accepted + 1, refused) } else { (accepted, refused + 1) });
            Ok(())
        })
        .unwrap();
    let (accepted, refused) = verdicts.get();
    assert!(accepted > 3 && refused > 3, "{accepted} accepted, {refused} refused");
}

/// Each row: a role of a PostgreSQL server, whether the database is migrated, and the expected error.
#[test]
fn config_check_and_serve_agree_on_database_privileges() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    server.sql(
        "CREATE ROLE owner LOGIN PASSWORD 'x'; CREATE ROLE guest LOGIN PASSWORD 'x';
        CREATE ROLE clerk LOGIN PASSWORD 'x'; CREATE ROLE old_clerk LOGIN PASSWORD 'x'",
    );
    let as_role = |role: &str, name: &str| {
        let url = server.url(name);
        let (_, place) = url.rsplit_once('@').unwrap();
        format!("postgres://{role}:x@{place}")
    };
    for (number, (role, is_migrated, expected)) in [
        ("owner", false, None),
        ("owner", true, None),
        ("guest", false, Some("GRANT it CREATE and USAGE")),
        ("guest", true, Some("GRANT it CREATE and USAGE")),
        // Privileges on the tables suffice if there is nothing to migrate.
        ("clerk", true, None),
        // Privileges as granted before the last migration.
        ("old_clerk", true, Some("permission denied for table write_probes")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("agreement_{number}");
        server.sql(&format!("CREATE DATABASE {name} OWNER owner"));
        let directory = installation("");
        let file = directory.path().join("vimeo-connections.toml");
        let rest = fs::read_to_string(&file).unwrap();
        let configure = |role: &str| {
            fs::write(&file, format!("database_url = {:?}\n{rest}", as_role(role, &name))).unwrap();
        };
        if is_migrated {
            configure("owner");
            serve(directory.path()).unwrap();
        }
        if role.ends_with("clerk") {
            let own = as_role("owner", &name);
            sql(&own, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).unwrap();
            sql(&own, "REVOKE ALL ON write_probes FROM old_clerk").unwrap();
        }
        configure(role);
        let (is_accepted, checked) = check(directory.path());
        let started = serve(directory.path());
        assert_eq!(is_accepted, expected.is_none(), "{role} {is_migrated}: {checked}");
        assert_eq!(is_accepted, started.is_ok(), "{role} {is_migrated}: {started:?}");
        if let Some(expected) = expected {
            assert!(checked.contains(expected) && started.unwrap_err().contains(expected), "{checked}");
        }
    }
}
