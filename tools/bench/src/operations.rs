//! The operations: each as a load on the service, and a check of its effect, so that only completed work counts.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::client::{Client, Item, Page};
use crate::error::{BenchError, Context as _};
use crate::load::{Load, Measured};
use crate::open_loop::{self, OpenLoad, Schedule};
use crate::process::{Memory, family_cpu_us};
use crate::record;
use crate::service::{COLLECTION, Engine, Plan, Service};

/// Concurrent clients.
pub(crate) const CONNECTIONS: u32 = 64;
/// How many connections exist before the measurements; gets and updates choose from these.
pub(crate) const BASE: u64 = 10_000;
/// Items on a listed page.
pub(crate) const PAGE: u64 = 50;
/// Items on a page when the bench reads the list itself.
const LONG_PAGE: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Create,
    Get,
    List,
    /// The last whole page.
    DeepList,
    Update,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::DeepList => "deep list",
            Self::Update => "update",
        })
    }
}

/// One load on the service.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) measured: Measured,
    /// Why it is void, if it is.
    pub(crate) fault: Option<String>,
    /// CPU time of the service.
    pub(crate) cpu_us_per_request: f64,
    /// CPU time of all processes of PostgreSQL, if the service uses it.
    pub(crate) postgres_cpu_us_per_request: Option<f64>,
    /// Memory of the service after the load.
    pub(crate) memory: Memory,
    /// Which page was listed.
    pub(crate) page: u64,
}

/// The service on one engine, with its base of connections.
pub(crate) struct Subject {
    pub(crate) engine: Engine,
    pub(crate) service: Service,
    /// Before the first request.
    pub(crate) idle: Memory,
    client: Client,
    postmaster: Option<u32>,
    /// The number in the last name that was used.
    named: u64,
    pool: PathBuf,
    list_position: ListPosition,
}

/// How far the list has been read: it only grows at its end, so it is not read again from the start.
#[derive(Default)]
struct ListPosition {
    /// The page key after the last whole page, and how many items are before it.
    last: (Option<String>, u64),
    /// The same for the page before.
    before_last: (Option<String>, u64),
    /// Items in all.
    items: u64,
}

impl Subject {
    /// Starts a service and creates the base through it.
    pub(crate) fn start(
        runtime: &Runtime,
        engine: Engine,
        plan: &Plan<'_>,
        postmaster: Option<u32>,
    ) -> Result<Self, BenchError> {
        let service = Service::start(plan)?;
        let client = runtime.block_on(Client::connect(service.address))?;
        let idle = service.memory()?;
        let pool = plan.directory.join("load");
        fs::create_dir_all(&pool)?;
        fs::write(pool.join("body.json"), record::body())?;
        fs::write(pool.join("change.json"), record::change())?;
        let mut subject = Self {
            engine,
            service,
            idle,
            client,
            postmaster,
            named: 0,
            pool,
            list_position: ListPosition::default(),
        };
        let made = subject.open_loop(Operation::Create, Schedule { requests: BASE, rate: f64::INFINITY })?;
        if let Some(error) = made.first_error {
            return Err(format!("the base could not be created: {error}").into());
        }
        let items = runtime.block_on(subject.base())?;
        let ids: Vec<&str> = items.iter().map(|item| item.connection_id.as_str()).collect();
        fs::write(subject.pool.join("ids"), ids.join("\n"))?;
        Ok(subject)
    }

    /// Runs a load for this long, and checks its effect.
    pub(crate) fn measure(
        &mut self,
        runtime: &Runtime,
        operation: Operation,
        seconds: u32,
    ) -> Result<Sample, BenchError> {
        let counted_before = runtime.block_on(self.prepare(operation))?;
        let (path, page) = self.path(operation);
        let file = |name: &str| self.pool.join(name).to_string_lossy().into_owned();
        let (ids, body, change, versions) =
            (file("ids"), file("body.json"), file("change.json"), file("versions"));
        let (first, key) = (self.named.to_string(), self.service.api_key.as_str());
        let (script, arguments): (_, Vec<&str>) = match operation {
            Operation::Create => (include_str!("../lua/create.lua"), vec![&path, key, &body, &first]),
            Operation::Get => (include_str!("../lua/get.lua"), vec![&path, key, &ids]),
            Operation::List | Operation::DeepList => (include_str!("../lua/constant.lua"), vec![&path, key]),
            Operation::Update => (include_str!("../lua/update.lua"), vec![&path, &versions, &change]),
        };
        let load = Load {
            address: self.service.address,
            script,
            arguments: &arguments,
            connections: CONNECTIONS,
            seconds,
        };
        let cpu_before = self.cpu()?;
        let measured = load.run(&self.pool)?;
        let cpu = self.cpu()?;
        let memory = self.service.memory()?;
        // A name may have been used without a response.
        self.named += measured.requests + u64::from(CONNECTIONS);
        let counted = runtime.block_on(self.count(operation))?;
        let fault =
            measured.fault().or_else(|| fault_of(operation, counted - counted_before, measured.requests));
        Ok(Sample {
            cpu_us_per_request: share(cpu.0 - cpu_before.0, measured.requests),
            postgres_cpu_us_per_request: self
                .postmaster
                .map(|_| share(cpu.1.saturating_sub(cpu_before.1), measured.requests)),
            measured,
            fault,
            memory,
            page,
        })
    }

    /// Runs an open loop.
    pub(crate) fn open_loop(
        &mut self,
        operation: Operation,
        schedule: Schedule,
    ) -> Result<open_loop::Outcome, BenchError> {
        let named = self.named;
        self.named += schedule.requests;
        let ids = fs::read_to_string(self.pool.join("ids")).unwrap_or_default();
        let ids: std::sync::Arc<[String]> = ids.lines().map(str::to_owned).collect();
        let template = self.service.template();
        let (body, expected) = match operation {
            Operation::Create => (Some(record::body()), StatusCode::CREATED),
            Operation::Get => (None, StatusCode::OK),
            _ => return Err(format!("there is no open loop of {operation}").into()),
        };
        let request = move |number: u64| {
            if let Some(body) = &body {
                let number = format!("{:08}", named + number + 1);
                return template.request("POST", "", body.replace(record::PLACE, &number));
            }
            // A stride that reaches every identifier and never two neighbours in a row.
            let at = usize::try_from(number.wrapping_mul(7_919))? % ids.len().max(1);
            let id = ids.get(at).ok_or("there is no identifier to ask for")?;
            template.request("GET", &format!("/{id}"), String::new())
        };
        let connections = usize::try_from(CONNECTIONS)?;
        let load = OpenLoad { address: self.service.address, connections, request, expected };
        open_loop::run(&load, schedule)
    }

    /// The count before an operation; also checks one response.
    async fn prepare(&mut self, operation: Operation) -> Result<u64, BenchError> {
        match operation {
            Operation::Update => {
                let items = self.base().await?;
                let lines: Vec<String> = items
                    .iter()
                    .map(|item| format!("{} {} {}", self.service.api_key, item.connection_id, item.version))
                    .collect();
                fs::write(self.pool.join("versions"), lines.join("\n"))?;
                Ok(items.iter().map(|item| item.version).sum())
            }
            Operation::Get => {
                let ids = fs::read_to_string(self.pool.join("ids"))?;
                let id = ids.lines().last().ok_or("there is no identifier to ask for")?;
                let item: Item = self.get(&format!("/{id}")).await?;
                if item.connection_id == id { Ok(0) } else { Err("another connection was got".into()) }
            }
            Operation::Create => self.count(operation).await,
            Operation::List | Operation::DeepList => {
                self.count(Operation::Create).await?;
                let (path, _) = self.path(operation);
                let page: Page = self.get(path.strip_prefix(COLLECTION).unwrap_or_default()).await?;
                if page.items.len() as u64 == PAGE {
                    Ok(0)
                } else {
                    Err(format!("a page has {} items instead of {PAGE}", page.items.len()).into())
                }
            }
        }
    }

    /// The count of an operation: how many connections exist, or how often they were changed.
    async fn count(&mut self, operation: Operation) -> Result<u64, BenchError> {
        match operation {
            Operation::Create => loop {
                let (key, before) = self.list_position.last.clone();
                let page = self.page(key.as_deref()).await?;
                let items = before + page.items.len() as u64;
                self.list_position.items = items;
                let Some(next) = page.next_page_key else { return Ok(items) };
                self.list_position.before_last =
                    std::mem::replace(&mut self.list_position.last, (Some(next), items));
            },
            Operation::Update => Ok(self.base().await?.iter().map(|item| item.version).sum()),
            Operation::Get | Operation::List | Operation::DeepList => Ok(0),
        }
    }

    /// The connections of the base.
    async fn base(&mut self) -> Result<Vec<Item>, BenchError> {
        let (mut items, mut key) = (Vec::new(), None);
        while (items.len() as u64) < BASE {
            let page = self.page(key.as_deref()).await?;
            items.extend(page.items);
            key = page.next_page_key;
            if key.is_none() {
                break;
            }
        }
        if items.len() as u64 == BASE {
            Ok(items)
        } else {
            Err(format!("there are {} connections instead of {BASE}", items.len()).into())
        }
    }

    async fn page(&mut self, key: Option<&str>) -> Result<Page, BenchError> {
        let key = key.map_or_else(String::new, |key| format!("&nextPageKey={key}"));
        self.get(&format!("?limit={LONG_PAGE}{key}")).await
    }

    async fn get<T: for<'a> Deserialize<'a>>(&mut self, path: &str) -> Result<T, BenchError> {
        let request = self.service.template().request("GET", path, String::new())?;
        if !self.client.is_open() {
            self.client = Client::connect(self.service.address).await?;
        }
        let (status, text) = self.client.send(request).await?;
        if status != StatusCode::OK {
            return Err(format!("the service answers {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        serde_json::from_slice(&text).context("the service's answer cannot be read")
    }

    /// The path of a request, and which page of the list it is.
    fn path(&self, operation: Operation) -> (String, u64) {
        match operation {
            Operation::List => (format!("{COLLECTION}?limit={PAGE}"), 1),
            Operation::DeepList => {
                let ListPosition { last, before_last, items } = &self.list_position;
                let (key, before) = if items - last.1 >= PAGE { last } else { before_last };
                let key = key.as_deref().map_or_else(String::new, |key| format!("&nextPageKey={key}"));
                (format!("{COLLECTION}?limit={PAGE}{key}"), before / PAGE + 1)
            }
            _ => (COLLECTION.to_owned(), 0),
        }
    }

    /// The CPU time of the service and of PostgreSQL so far.
    fn cpu(&self) -> Result<(u64, u64), BenchError> {
        Ok((self.service.cpu_us()?, self.postmaster.map_or(Ok(0), family_cpu_us)?))
    }
}

/// Whether the effect matches the responses: requests in flight at the end may have an effect without a response.
fn fault_of(operation: Operation, done: u64, answered: u64) -> Option<String> {
    let is_counted = matches!(operation, Operation::Create | Operation::Update);
    let is_right = (answered..=answered + u64::from(CONNECTIONS)).contains(&done);
    (is_counted && !is_right).then(|| format!("{answered} were answered and {done} were done"))
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run are far below 2^52")]
pub(crate) fn share(whole: u64, of: u64) -> f64 {
    whole as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_completed_work_counts() {
        assert_eq!(fault_of(Operation::Create, 100, 100), None);
        assert_eq!(fault_of(Operation::Create, 164, 100), None);
        assert!(fault_of(Operation::Create, 165, 100).is_some());
        assert!(fault_of(Operation::Update, 99, 100).is_some());
        assert_eq!(fault_of(Operation::Get, 0, 100), None);
    }
}
