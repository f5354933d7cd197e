//! The service behind Debian's PgBouncer 1.18, in `./test --all`. The store's own tests run behind it too.

use crate::support::chaos_clients::{ChaosClients, assert_whole};
use crate::support::cluster::Node;
use crate::support::connections::{create, fetch};
use crate::support::harness::{EnvOptions, TestEnv, printed, run, serve_error, until};
use crate::support::postgres::{PgBouncer, PoolMode, Postgres, Version};
use crate::support::tools::print_numbers;
use crate::support::uploads::load::UploadLoad;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const DATABASE: &str = "vimeo";
const TRANSACTION: &str = "store.prepared_statements = \"transaction\"\n";
const ADVICE: &str = "a connection pooler in transaction mode is between the service and the database: set \
     store.prepared_statements = \"transaction\", or put the pooler into session mode";

/// A server with a database, and PgBouncer before it.
fn pooled(mode: PoolMode) -> Option<(Postgres, PgBouncer)> {
    tokio::task::block_in_place(|| {
        let server = Postgres::private(Version::V15)?;
        server.create_database(DATABASE);
        let pooler = PgBouncer::before(&server, mode)?;
        Some((server, pooler))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_pooler_restarts_and_a_node_kill() {
    let Some((server, mut pooler)) = pooled(PoolMode::Transaction) else { return };
    let options = EnvOptions {
        config: format!("{CONFIG}{TRANSACTION}"),
        verification_off: true,
        database_url: Some(pooler.url(DATABASE)),
        sandbox: Some(fast_sandbox()),
        ..EnvOptions::default()
    };
    let uploads = UploadEnv::with_options(options).await;
    let env = &uploads.env;
    let mut other = Node::beside(env);
    let nodes = [env.service.address, other.service.address];
    let chaos = ChaosClients::start(env, &nodes, "p", 32);
    let load = UploadLoad::start(&uploads, &nodes, "p", 4);
    for is_killed in [false, true, false, true] {
        chaos.wait_for_acks(150).await;
        tokio::task::block_in_place(|| if is_killed { pooler.kill() } else { pooler.stop() });
        until("the service is not ready", async || env.get("/health/ready").await.status != 200).await;
        tokio::task::block_in_place(|| pooler.start(PoolMode::Transaction));
    }
    chaos.wait_for_acks(150).await;
    chaos.mark_down(1);
    let address = tokio::task::block_in_place(|| other.kill_and_restart());
    chaos.mark_up(1, address);
    load.move_node(1, address);
    chaos.wait_for_acks(150).await;
    let accepted = load.accepted();
    until("uploads are accepted", async || load.accepted() > accepted).await;
    let report = chaos.finish().await;
    report.assert_only_errors(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "no answer"]);
    let accepted = load.finish().await;
    print_numbers(&format!(
        "PgBouncer restarted four times, and a node killed: {}; {}",
        report.summary(),
        accepted.summary()
    ));
    report.assert_acknowledged_stored(&server.url(DATABASE));
    accepted.assert_completed_once(&uploads, 0).await;
    assert_whole(env, &server.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_changes_to_transaction_mode_is_named_with_the_setting() {
    let Some((_server, mut pooler)) = pooled(PoolMode::Session) else { return };
    let mut env = TestEnv::with(EnvOptions {
        verification_off: true,
        database_url: Some(pooler.url(DATABASE)),
        ..EnvOptions::default()
    })
    .await;
    let id = create(&env, &env.valid_body("before")).await;
    tokio::task::block_in_place(|| {
        pooler.kill();
        pooler.start(PoolMode::Transaction);
    });
    // While the service runs, the first statement that is not known to its session shows it.
    let json_advice = ADVICE.replace('"', "\\\"");
    until("the log says what to set", async || {
        env.post(&env.valid_body("meanwhile")).await;
        env.log().contains(&json_advice)
    })
    .await;
    // When it starts, it finds out before anything fails.
    assert_eq!(env.service.terminate(), Some(0));
    let error = tokio::task::block_in_place(|| serve_error(env.path()));
    assert!(error.contains(ADVICE), "{error}");
    for arguments in [&["serve"][..], &["accounts", "list"], &["migrate"]] {
        let refused = tokio::task::block_in_place(|| run(env.path(), &[], arguments));
        assert_eq!(refused.status.code(), Some(78), "{arguments:?}: {}", printed(&refused));
    }
    let config = env.path().join("vimeo-connections.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(config, format!("{TRANSACTION}{text}")).unwrap();
    env.kill_and_restart();
    assert_eq!(fetch(&env, &id).await["name"], "before");
    create(&env, &env.valid_body("after")).await;
}
