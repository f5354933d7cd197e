//! Schedules of faults at Vimeo and kills of the service, run against requests with everything. After each, nothing is
//! missing, nothing is there twice, and the video opened no earlier than requested.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fixtures::{Engine, PublicationEnv, after};
use crate::support::uploads::{WAIT_LIMIT, is_finished};

/// When the service is killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kill {
    /// When this many requests to this route have reached Vimeo.
    At(&'static str, usize),
    /// When this many requests have reached Vimeo, if the job has not ended before.
    After(usize),
}

/// What is required of the faults of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Each of them has happened.
    AfterAllFaults,
    AtAnyTime,
}

/// What happens during one request with everything.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// What a failure is reported with.
    pub(super) name: String,
    pub(super) faults: Vec<Value>,
    pub(super) kills: Vec<Kill>,
    pub(super) ends: Ends,
    /// When the video is to open, from the request on.
    pub(super) publish_after: Duration,
}

impl PublicationEnv {
    /// Waits until the service is to be killed, and kills it. Holds end with it.
    pub(super) async fn kill_at(&mut self, id: &str, kill: Kill) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let job = self.uploads.job(id).await;
            let is_reached = match kill {
                Kill::At(route, count) => self.uploads.journal(route).await.len() >= count,
                Kill::After(count) => self.uploads.journal("*").await.len() >= count,
            };
            if is_reached {
                break;
            }
            if is_finished(&job) {
                let is_allowed = matches!(kill, Kill::After(_));
                return if is_allowed { Ok(()) } else { Err(format!("{kill:?} was not reached: {job}")) };
            }
            if started.elapsed() > WAIT_LIMIT {
                return Err(format!("{kill:?} was not reached: {job}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.uploads.env.service.kill();
        let faults = self.uploads.env.control(Method::GET, "faults", Value::Null).await;
        for fault in faults["faults"].as_array().unwrap() {
            if fault["kind"] == "hold" || fault["kind"] == "drip" {
                let path = format!("faults/{}", fault["id"]);
                self.uploads.env.control(Method::DELETE, &path, Value::Null).await;
            }
        }
        self.kill_and_restart();
        Ok(())
    }

    /// One request with everything.
    pub(super) async fn run(&mut self, schedule: &Schedule) -> Result<(), String> {
        for fault in &schedule.faults {
            self.uploads.env.inject_fault(fault.clone()).await;
        }
        let publish_at = after(schedule.publish_after);
        let id = self.uploads.submit_with(self.everything(publish_at)).await;
        for kill in &schedule.kills {
            self.kill_at(&id, *kill).await?;
        }
        let job = self.uploads.wait_for_end(&id).await;
        let left = self.uploads.env.control(Method::GET, "faults", Value::Null).await;
        self.uploads.env.control(Method::DELETE, "faults", Value::Null).await;
        if schedule.ends == Ends::AfterAllFaults && left["faults"] != json!([]) {
            return Err(format!("faults did not happen: {left}"));
        }
        self.check(&job, publish_at).await.map_err(|wrong| {
            let log = self.uploads.env.log();
            let log: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
            format!("{wrong}\nfaults left: {left}\n{}", log.join("\n"))
        })
    }
}

/// Runs all schedules: each of this many services takes the next one when it has finished one.
pub(super) async fn run_all(engine: Engine, schedules: Vec<Schedule>, services: usize) {
    let left = Arc::new(Mutex::new(schedules));
    let run_some = |left: Arc<Mutex<Vec<Schedule>>>| async move {
        let next = || left.lock().unwrap().pop();
        let mut wrong = Vec::new();
        let Some(mut env) = PublicationEnv::on(engine).await else { return wrong };
        while let Some(schedule) = next() {
            env.clean().await;
            if let Err(what) = env.run(&schedule).await {
                wrong.push(format!(
                    "{} {:?} {}: {what}",
                    schedule.name,
                    schedule.kills,
                    json!(schedule.faults)
                ));
            }
        }
        wrong
    };
    let services: JoinSet<Vec<String>> = (0..services).map(|_| run_some(left.clone())).collect();
    let wrong = services.join_all().await.concat();
    assert!(wrong.is_empty(), "{engine:?}: {} are wrong\n{}", wrong.len(), wrong.join("\n\n"));
}
