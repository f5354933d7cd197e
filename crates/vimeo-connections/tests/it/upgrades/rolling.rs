//! Nodes of two versions on one database, under load: upgraded one after the other, and back by one version.
//!
//! `./test --all` builds the last release from the history (`scripts/release-binary`). `./test` has a newer version's migration
//! instead, which only changes the database.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use super::releases::{Engine, RestoredRelease, last_release, request, schema_of};
use crate::support::chaos_clients::{ChaosClients, Report, assert_whole};
use crate::support::cluster::{Node, copy_installation, env_on_database};
use crate::support::harness::{COLLECTION, Service, binary, finish, printed, run, schema, until};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::tools::{is_all, print_numbers, skip_everywhere, variable};
use crate::support::uploads::load::UploadLoad;
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{UploadEnv, WAIT_LIMIT};

/// What a newer version might add.
const NEWER: &str = "ALTER TABLE connections ADD COLUMN colour TEXT;
    ALTER TABLE idempotency_records ADD COLUMN mood BIGINT;
    CREATE TABLE folders (folder_id TEXT PRIMARY KEY);";
const EVERYTHING: &str = "SELECT md5(string_agg(t, '/')) FROM (SELECT (c)::text AS t FROM connections c
    UNION ALL SELECT (a)::text FROM audit_events a UNION ALL SELECT (m)::text FROM schema_migrations m
    UNION ALL SELECT (k)::text FROM keyring_checks k ORDER BY 1) rows";

/// The service of the last release. `None`, and reported, without `--all`.
fn release_program(release: &str) -> Option<PathBuf> {
    let name = format!("TEST_RELEASE_{}_BIN", release.replace('.', "_"));
    let found = variable(&name).map(PathBuf::from);
    if found.is_none() {
        let how = format!("{name} does not name the service of the release {release}: run ./test --all");
        assert!(!is_all(), "{how}");
        skip_everywhere(&how);
    }
    found
}

/// The program to be run in a directory, without the environment of the tests.
fn program_in(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear();
    command
}

/// Stops a service as a supervisor does, and starts this program in its place: the new address.
fn replace(service: &mut Service, directory: &Path, command: Command) -> SocketAddr {
    assert_eq!(service.terminate(), Some(0));
    *service = Service::start_as(command, directory);
    service.address
}

fn assert_no_error_logged(directory: &Path) {
    let log = fs::read_to_string(directory.join("service.log")).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Clients that were disconnected by a restart are the only ones without a response.
fn assert_nothing_lost(report: &Report, url: &str) {
    report.assert_only_errors(&["no answer"]);
    report.assert_acknowledged_stored(url);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_restart_one_by_one_on_a_database_that_a_newer_version_has_migrated() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut env = env_on_database(&database.url(), "store.timeout_seconds = 30").await;
    let mut other = Node::beside(&env);
    let nodes = [env.service.address, other.service.address];
    let chaos = ChaosClients::start(&env, &nodes, "rolling", 8);
    chaos.wait_for_acks(100).await;
    let row = |lowest: u32| {
        format!("INSERT INTO schema_migrations VALUES (9{lowest:02}, 'later_{lowest}', {lowest}, 0)")
    };
    // While both nodes run, with every statement already prepared.
    database.sql(&format!("{NEWER} {}", row(1)));
    chaos.wait_for_acks(200).await;
    let directories = [env.path().to_owned(), other.directory.path().to_owned()];
    for (node, service) in [&mut env.service, &mut other.service].into_iter().enumerate() {
        chaos.mark_down(node);
        let directory = &directories[node];
        let address = tokio::task::block_in_place(|| replace(service, directory, binary(directory)));
        chaos.mark_up(node, address);
        chaos.wait_for_acks(100).await;
    }
    let report = chaos.finish().await;
    assert_nothing_lost(&report, &database.url());
    assert_whole(&env, &database.url());
    for directory in &directories {
        assert_no_error_logged(directory);
    }

    env.service.kill();
    other.service.kill();
    let above = u32::try_from(schema()).unwrap() + 1;
    database.sql(&row(above));
    let before = database.sql(EVERYTHING);
    for arguments in [&["serve"][..], &["accounts", "list"], &["migrate"]] {
        let refused = run(env.path(), &[], arguments);
        let text = printed(&refused);
        assert_eq!(refused.status.code(), Some(78), "{text}");
        assert!(
            text.contains(&format!("lowest application schema is {above}"))
                && text.contains("Nothing was changed"),
            "{text}"
        );
    }
    assert_eq!(database.sql(EVERYTHING), before);
}

/// Two nodes on the data of a release, both of that release.
struct Cluster {
    uploads: UploadEnv,
    other: Service,
    other_directory: tempfile::TempDir,
    database: SharedPostgres,
}

impl Cluster {
    async fn start(release: &str, version: Version, program: &Path) -> Option<Self> {
        let restored = RestoredRelease::new(release, Engine::Postgres(version)).await?;
        restored.configure("store.timeout_seconds = 30\n");
        let service = restored.start_as(program_in(program, restored.path())).await;
        rename_films(&restored, &service).await;
        let (env, postgres) = restored.into_env(service);
        let created = env.post(&env.valid_body("Uploads")).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let connection = created.header("location").to_owned();
        let other_directory = copy_installation(env.path());
        let command = program_in(program, other_directory.path());
        let other = tokio::task::block_in_place(|| Service::start_as(command, other_directory.path()));
        let uploads = UploadEnv { env, source: Source::start(Behaviour::Good).await, connection };
        Some(Self { uploads, other, other_directory, database: postgres.unwrap() })
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.uploads.env.service.address, self.other.address]
    }

    /// Replaces a node by one of this program.
    fn replace(&mut self, node: usize, program: &Path) -> SocketAddr {
        let env = &mut self.uploads.env;
        let directory = if node == 0 { env.directory.path() } else { self.other_directory.path() };
        let service = if node == 0 { &mut env.service } else { &mut self.other };
        replace(service, directory, program_in(program, directory))
    }

    fn schema(&self) -> usize {
        self.database.sql("SELECT max(number) FROM schema_migrations").parse().unwrap()
    }
}

/// Both accounts of the data have a connection of this name, which the clients' check of names does not expect.
async fn rename_films(restored: &RestoredRelease, service: &Service) {
    let key = restored.owner_key(restored.contents["accounts"][1].as_str().unwrap());
    let headers = [("authorization", &*key), ("content-type", "application/json")];
    let listed = request(service, (Method::GET, COLLECTION), &headers, "").await.json();
    let path = format!("{COLLECTION}/{}", listed["Items"][0]["connectionId"].as_str().unwrap());
    let change = json!({"version": listed["Items"][0]["version"], "name": "Films of the second account"});
    let changed = request(service, (Method::PUT, &path), &headers, &change.to_string()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_upgraded_and_downgraded_one_by_one_under_load() {
    let release = last_release();
    let Some(theirs) = release_program(&release) else { return };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_vimeo-connections"));
    for version in Version::ALL {
        let Some(mut cluster) = Cluster::start(&release, version, &theirs).await else { return };
        let nodes = cluster.addresses();
        let chaos = ChaosClients::start(&cluster.uploads.env, &nodes, "n", 16);
        let load = UploadLoad::start(&cluster.uploads, &nodes, "n", 2);
        let progress = async || {
            let accepted = load.accepted();
            chaos.wait_for_acks(150).await;
            until("uploads are accepted", async || load.accepted() > accepted).await;
        };
        progress().await;
        for (node, program) in [(0, &ours), (1, &ours), (0, &theirs), (1, &theirs)] {
            chaos.mark_down(node);
            let address = tokio::task::block_in_place(|| cluster.replace(node, program));
            chaos.mark_up(node, address);
            load.move_node(node, address);
            assert_eq!(cluster.schema(), schema(), "the first node of this build has migrated");
            progress().await;
        }
        let report = chaos.finish().await;
        let accepted = load.finish().await;
        print_numbers(&format!(
            "{release} and this build on {version:?}: {}; {}",
            report.summary(),
            accepted.summary()
        ));
        assert_nothing_lost(&report, &cluster.database.url());
        accepted.assert_completed_once(&cluster.uploads, 0).await;
        assert_whole(&cluster.uploads.env, &cluster.database.url());
        assert_no_error_logged(cluster.uploads.env.path());
        assert_no_error_logged(cluster.other_directory.path());
    }
}

/// The connections that a program decrypts, of all that are there.
fn check_with(program: &Path, restored: &RestoredRelease) -> usize {
    let mut command = program_in(program, restored.path());
    command.args(["connections", "check", "--json"]);
    let output: Output = finish(command, WAIT_LIMIT);
    assert!(output.status.success(), "{}", printed(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["broken"], json!([]), "{report}");
    report["opened"].as_u64().unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_upgraded_downgraded_and_upgraded_again() {
    let release = last_release();
    let Some(theirs) = release_program(&release) else { return };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_vimeo-connections"));
    let restored = RestoredRelease::new(&release, Engine::Sqlite).await.unwrap();
    restored.configure("");
    let mut connections = restored.number("SELECT count(*) FROM connections");
    let key = restored.owner_key(restored.contents["accounts"][0].as_str().unwrap());
    let headers = [("authorization", &*key), ("content-type", "application/json")];
    let mut made = Vec::new();
    let mut expected = schema_of(&restored.contents);
    for (round, program) in [&theirs, &ours, &theirs, &ours].into_iter().enumerate() {
        let mut service = restored.start_as(program_in(program, restored.path())).await;
        expected = if program == &ours { schema() } else { expected };
        assert_eq!(restored.number("SELECT max(number) FROM schema_migrations"), expected);
        let body = json!({
            "name": format!("Round {round}"), "enabled": true, "clientIdentifier": "a", "clientSecret": "b", "accessToken": "c",
        });
        let created = request(&service, (Method::POST, COLLECTION), &headers, &body.to_string()).await;
        assert_eq!(created.status, 201, "{}", created.text);
        made.push(created.header("location").to_owned());
        connections += 1;
        for path in &made {
            let shown = request(&service, (Method::GET, path), &headers, "").await;
            assert_eq!(shown.status, 200, "{}", shown.text);
        }
        assert_eq!(check_with(program, &restored), connections);
        assert_eq!(service.terminate(), Some(0));
        assert_eq!(check_with(program, &restored), connections);
    }
    assert_no_error_logged(restored.path());
}
