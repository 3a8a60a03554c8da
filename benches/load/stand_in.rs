//! What the emulator costs: its start, a call of its control plane, a dispatch, and tasks that wait.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    AUDIENCE, Result,
    options::Options,
    server::{self, Server},
    table::{Limit, Table},
};

/// Starts of which the best counts.
const STARTS: usize = 20;

/// Reads and writes of which the mean is taken.
const CALLS: usize = 2000;

/// Tasks that wait at once.
const WAITING: usize = 100_000;

const QUEUES: usize = 8;

/// Of each queue, in dispatches a second.
const RATE: usize = 250;

/// More than any burst.
const SPARE: usize = 200;

/// Calls under way at once.
const AT_ONCE: usize = 32;

const QUEUES_PATH: &str = "v2/projects/demo-project/locations/us-central1/queues";

const CALLER: &str = "tasks-caller@demo-project.iam.gserviceaccount.com";

/// Everything, where the emulator's binary was given.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let Some(binary) = &options.emulator else { return Ok(()) };
    table.section("the emulator");
    start(binary, table)?;
    let control = Control::start(binary)?;
    control.account().await?;
    calls(&control, table).await?;
    waiting(&control, table).await?;
    drop(control);
    dispatches(options, binary, table).await
}

fn start(binary: &Path, table: &mut Table) -> Result<()> {
    eprintln!("{STARTS} starts of the emulator");
    let mut best = Duration::MAX;
    for _ in 0..STARTS {
        best = best.min(Server::time_to_listen(serve(binary))?);
    }
    table.limit("exec to serving, best of 20", best.as_secs_f64() * 1e3, "ms", Limit::Under(300.0));
    Ok(())
}

async fn calls(control: &Control, table: &mut Table) -> Result<()> {
    eprintln!("{CALLS} reads and writes");
    control.queue("calls").await?;
    let before = control.server.cpu()?;
    control.fill("calls", CALLS / 2, "http://127.0.0.1:9/x").await?;
    for _ in 0..CALLS / 2 {
        control.call(reqwest::Method::GET, &format!("{QUEUES_PATH}/calls"), Value::Null).await?;
    }
    let each = (control.server.cpu()? - before).as_secs_f64() * 1e3 / CALLS as f64;
    table.limit("CPU of a control-plane call", each, "ms", Limit::Under(1.0));
    Ok(())
}

async fn waiting(control: &Control, table: &mut Table) -> Result<()> {
    eprintln!("{WAITING} waiting tasks");
    control.queue("waiting").await?;
    control.fill("waiting", WAITING, "http://127.0.0.1:9/x").await?;
    let resident = control.server.resident_mib()?;
    table.limit("resident, 100,000 tasks waiting", resident, "MiB", Limit::Under(200.0));
    Ok(())
}

/// All queues at their full rate beside the receiver: as many as the rates allow, and no more.
async fn dispatches(options: &Options, binary: &Path, table: &mut Table) -> Result<()> {
    let seconds = options.volume.dispatch_seconds;
    let control = Control::start(binary)?;
    control.account().await?;
    let service = Server::start(server::service_of(&options.service, &control.url(), CALLER))?;
    service.is_ready().await?;
    let target = format!("http://{}/tasks/send-receipt", service.address());
    eprintln!("{} tasks for {QUEUES} queues", QUEUES * (RATE * seconds + SPARE));
    let mut bursts = 0.0;
    for queue in 0..QUEUES {
        let name = format!("full-{queue}");
        bursts += control.queue(&name).await?;
        control.fill(&name, RATE * seconds + SPARE, &target).await?;
    }
    eprintln!("{seconds} s of dispatches");
    service.take_lines()?;
    let (before, service_before) = (control.server.cpu()?, service.cpu()?);
    let began = Instant::now();
    for queue in 0..QUEUES {
        control
            .call(reqwest::Method::POST, &format!("{QUEUES_PATH}/full-{queue}:resume"), json!({}))
            .await?;
    }
    tokio::time::sleep(Duration::from_secs(seconds as u64).saturating_sub(began.elapsed())).await;
    let done = service.take_records("done")? as f64;
    let taken = began.elapsed().as_secs_f64();
    let per_dispatch = |cpu: Duration| format!("{:.1} µs", cpu.as_secs_f64() * 1e6 / done.max(1.0));
    // Every queue may begin with its burst.
    let due = (QUEUES * RATE) as f64 * taken + bursts;
    table.figure("dispatches a second", &format!("{:.0}", done / taken));
    let short = (1.0 - done / due).max(0.0) * 100.0;
    table.limit("short of rates and bursts", short, "%", Limit::Under(1.0));
    let over = done - due;
    table.limit("above rates and bursts", over.max(0.0), "tasks", Limit::Exactly(0.0));
    table.figure("the emulator's CPU a dispatch", &per_dispatch(control.server.cpu()? - before));
    table.figure("the receiver's CPU a dispatch", &per_dispatch(service.cpu()? - service_before));
    Ok(())
}

fn serve(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().args(["serve", "--port", "0"]);
    command
}

/// A running emulator and a client of its control plane.
struct Control {
    server: Server,
    client: Client,
}

impl Control {
    fn start(binary: &Path) -> Result<Control> {
        let client = Client::builder().no_proxy().build()?;
        Ok(Control { server: Server::start(serve(binary))?, client })
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> Result<Value> {
        let request = self.client.request(method, format!("{}/{path}", self.url()));
        checked(request.body(body.to_string())).await
    }

    async fn account(&self) -> Result<Value> {
        let (name, _) = CALLER.split_once('@').unwrap_or_default();
        let body = json!({"accountId": name});
        self.call(reqwest::Method::POST, "v1/projects/demo-project/serviceAccounts", body).await
    }

    /// A queue that holds its tasks until it is resumed; gives the burst that it has.
    async fn queue(&self, name: &str) -> Result<f64> {
        let rates = json!({"maxDispatchesPerSecond": RATE});
        let queue = json!({
            "name": format!("projects/demo-project/locations/us-central1/queues/{name}"),
            "rateLimits": rates,
        });
        let queue = self.call(reqwest::Method::POST, QUEUES_PATH, queue).await?;
        let path = format!("{QUEUES_PATH}/{name}:pause");
        self.call(reqwest::Method::POST, &path, json!({})).await?;
        let burst = queue.pointer("/rateLimits/maxBurstSize").and_then(Value::as_f64);
        burst.ok_or_else(|| "the queue has no burst".into())
    }

    /// Creates so many tasks for `target`.
    async fn fill(&self, queue: &str, tasks: usize, target: &str) -> Result<()> {
        let url = format!("{}/{QUEUES_PATH}/{queue}/tasks", self.url());
        let order = json!({"order": "A-1001", "email": "ada@example.com"}).to_string();
        let task: Arc<str> = json!({"task": {"httpRequest": {
            "url": target,
            "body": BASE64_STANDARD.encode(order),
            "oidcToken": {"serviceAccountEmail": CALLER, "audience": AUDIENCE},
        }}})
        .to_string()
        .into();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut created = JoinSet::new();
        for _ in 0..tasks {
            let place = Arc::clone(&places).acquire_owned().await?;
            let request = self.client.post(&url).body(task.to_string());
            created.spawn(async move {
                let ended = checked(request).await;
                drop(place);
                ended
            });
            while let Some(ended) = created.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = created.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn checked(request: reqwest::RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(serde_json::from_slice(&response.bytes().await?)?);
    }
    Err(format!("the control plane answered {status}: {}", response.text().await?).into())
}
