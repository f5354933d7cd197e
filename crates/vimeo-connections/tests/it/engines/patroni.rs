//! The service on a Patroni cluster with a synchronous standby, in `./test --all`: a failover and a planned switchover under load
//! lose nothing that was acknowledged.

use crate::support::chaos_clients::{ChaosClients, assert_whole};
use crate::support::harness::{EnvOptions, TestEnv, until};
use crate::support::patroni::Patroni;
use crate::support::tools::print_numbers;
use crate::support::uploads::load::UploadLoad;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const DATABASE: &str = "vimeo";
const REFUSALS: [&str; 2] = ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"];

/// Clients that create, update and delete connections, and clients that request uploads.
struct Load {
    chaos: ChaosClients,
    uploads: UploadLoad,
    /// The number of videos before them.
    videos: usize,
}

impl Load {
    async fn start(uploads: &UploadEnv, prefix: &str) -> Self {
        let (videos, nodes) = (uploads.videos().await.len(), [uploads.env.service.address]);
        let load = Self {
            chaos: ChaosClients::start(&uploads.env, &nodes, prefix, 16),
            uploads: UploadLoad::start(uploads, &nodes, prefix, 2),
            videos,
        };
        load.wait_for_progress().await;
        load
    }

    async fn wait_for_progress(&self) {
        let accepted = self.uploads.accepted();
        self.chaos.wait_for_acks(200).await;
        until("uploads are accepted", async || self.uploads.accepted() > accepted).await;
    }

    /// Ends the clients. Asserts that the database has what was acknowledged, and Vimeo one video for each accepted upload.
    async fn finish(self, what: &str, uploads: &UploadEnv, url: &str) {
        let report = self.chaos.finish().await;
        let accepted = self.uploads.finish().await;
        print_numbers(&format!("{what}: {}; {}", report.summary(), accepted.summary()));
        report.assert_only_errors(&REFUSALS);
        report.assert_acknowledged_stored(url);
        accepted.assert_completed_once(uploads, self.videos).await;
        assert_whole(&uploads.env, url);
    }
}

/// A cluster, and the service on it.
async fn start() -> Option<(Patroni, UploadEnv)> {
    let cluster = Patroni::start().await?;
    cluster.create_database(DATABASE).await;
    let options = EnvOptions {
        config: CONFIG.to_owned(),
        verification_off: true,
        database_url: Some(cluster.url(DATABASE)),
        sandbox: Some(fast_sandbox()),
        ..EnvOptions::default()
    };
    Some((cluster, UploadEnv::with_options(options).await))
}

async fn is_ready(env: &TestEnv) -> bool {
    env.get("/health/ready").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_failover_and_a_switchover() {
    let Some((mut cluster, uploads)) = start().await else { return };
    let process = uploads.env.service.id();

    let load = Load::start(&uploads, "failover").await;
    let old = cluster.find_leader().await;
    tokio::task::block_in_place(|| cluster.kill(old));
    until("the service is not ready", async || !is_ready(&uploads.env).await).await;
    let new = cluster.wait_for_other_leader(old).await;
    load.wait_for_progress().await;
    until("the service is ready", async || is_ready(&uploads.env).await).await;
    load.finish("primary killed", &uploads, &cluster.url_at(new, DATABASE)).await;

    cluster.restart(old);
    cluster.wait_until_complete().await;
    let load = Load::start(&uploads, "switchover").await;
    let next = cluster.switch_over().await;
    assert_ne!(next, new);
    load.wait_for_progress().await;
    until("the service is ready", async || is_ready(&uploads.env).await).await;
    load.finish("planned switchover", &uploads, &cluster.url_at(next, DATABASE)).await;
    // Every server follows the new primary.
    cluster.wait_until_complete().await;
    assert_eq!(uploads.env.service.id(), process);
    print_numbers(&cluster.versions());
}

/// Without Patroni, and without a watchdog, nothing stops the former primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_end_of_patroni_alone() {
    let Some((mut cluster, uploads)) = start().await else { return };
    let load = Load::start(&uploads, "patroni").await;
    let old = cluster.find_leader().await;
    cluster.kill_patroni(old);
    let new = cluster.wait_for_other_leader(old).await;
    load.wait_for_progress().await;
    until("the service is ready", async || is_ready(&uploads.env).await).await;
    // Patroni makes it a standby of the new primary.
    cluster.restart(old);
    cluster.wait_until_complete().await;
    load.wait_for_progress().await;
    load.finish("Patroni of the primary killed", &uploads, &cluster.url_at(new, DATABASE)).await;
}
