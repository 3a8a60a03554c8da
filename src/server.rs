//! Routes, the order of middlewares, bind, run and drain.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use oidc::{KeysStatus, Verifier};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    body::BodyMemory,
    config::{Config, DedupStore},
    dedup::Dedup,
    dispatch::{InFlight, Route, Shared, dispatch},
    guard,
    job_table::Jobs,
    metadata_server::MetadataServer,
    record::{self, Records},
    telemetry::handle::Telemetry,
};

/// How long work in flight may go on after the signal to stop. Cloud Run kills at 10 s
/// (<https://cloud.google.com/run/docs/container-contract#instance-shutdown>).
pub const DRAIN: Duration = Duration::from_millis(7500);

/// How long what was aborted has to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// When all is over, telemetry too: before Cloud Run kills.
const LAST_OF_ALL: Duration = Duration::from_millis(9500);

/// Longer than any front end keeps a connection that it may still send on; a server that closes first
/// turns that send into an error
/// (<https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries>).
const KEEP_ALIVE: Duration = Duration::from_secs(620);

/// A receiver that listens and is not yet answering.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    workers: usize,
    routes: Vec<Arc<Route>>,
    shared: Arc<Shared>,
    verifiers: Vec<Verifier>,
}

impl Server {
    /// Listens at the configured address; port 0 is any free one.
    ///
    /// # Errors
    ///
    /// What the system says where it cannot listen there.
    pub fn bind(config: Config, jobs: Jobs, records: Records) -> io::Result<Self> {
        // Bound before anything else is built, since a cold start waits for the port.
        let listener = TcpListener::bind((config.host, config.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;

        if config.about.service.is_some() && config.about.project.id().is_none() {
            config.about.project.find(MetadataServer::at(&config.metadata_host));
        }
        let shared = Arc::new(Shared {
            in_flight: InFlight::default(),
            permits: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            body_memory: BodyMemory::new(config.body_memory_bytes),
            dedup: match config.dedup {
                DedupStore::Off => Dedup::Off,
                DedupStore::Memory => Dedup::memory(),
            },
            telemetry: Telemetry::start(config.telemetry.as_ref()),
            is_draining: AtomicBool::new(false),
            drain_over: watch::Sender::new(false),
        });
        let mut by_sender: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for ((sender, name), job) in jobs.take() {
            by_sender.entry(sender).or_default().insert(name, job);
        }
        let routes = config.senders.into_iter().map(|(sender, settings)| {
            Arc::new(Route {
                sender,
                jobs: by_sender.remove(&sender).unwrap_or_default(),
                guard: settings.guard,
                body_limit_bytes: settings.body_limit_bytes,
                deadline: settings.deadline,
                give_up: config.pubsub_give_up,
                records: records.clone(),
                shared: Arc::clone(&shared),
            })
        });
        let routes: Vec<Arc<Route>> = routes.collect();
        let jobs =
            routes.iter().flat_map(|route| route.jobs.keys().map(|job| (route.sender, &**job)));
        shared.telemetry.watch(&shared, &config.verifiers, jobs);
        Ok(Self {
            listener,
            address,
            workers: config.workers,
            routes,
            shared,
            verifiers: config.verifiers,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` ends, then lets work in flight end for at most [`DRAIN`].
    ///
    /// # Errors
    ///
    /// What the system says where serving fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listener, workers, routes, shared, verifiers, address: _ } = self;
        // Beside serving: a key server that is down must not hold up the start.
        verifiers.iter().for_each(Verifier::prefetch);
        let verifiers: Arc<[Verifier]> = verifiers.into();
        let server = HttpServer::new(move || {
            let (routes, verifiers) = (routes.clone(), Arc::clone(&verifiers));
            App::new().configure(move |app| configure(app, &routes, verifiers))
        })
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        // With half-closed connections allowed, a sender that hung up would go unnoticed.
        .h1_allow_half_closed(false)
        .disable_signals()
        .shutdown_timeout(LAST_ANSWERS.as_secs())
        .listen(listener)?
        .run();

        let handle = server.handle();
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop => {}
        }
        let until = Instant::now() + LAST_OF_ALL;
        let stopped = async { tokio::join!(server, drain(&shared, &handle)).0 };
        let ended = match timeout(DRAIN + LAST_ANSWERS * 3 / 2, stopped).await {
            Ok(ended) => ended,
            // actix waits for a blocked worker without limit; Cloud Run does not.
            Err(_) => {
                tracing::error!("a job blocks its thread and was left behind; use spawn_blocking");
                Ok(())
            }
        };
        shared.telemetry.end(until).await;
        ended
    }
}

/// Stops accepting, waits for work in flight, aborts what is left.
async fn drain(shared: &Shared, handle: &ServerHandle) {
    let until = Instant::now() + DRAIN;
    shared.is_draining.store(true, Ordering::Relaxed);
    handle.pause().await;
    // Not the connections: a job whose sender has hung up is in flight without one.
    if timeout_at(until, shared.in_flight.none()).await.is_err() {
        shared.drain_over.send_replace(true);
        // An aborted job ends at its next await.
        let _ = timeout(LAST_ANSWERS / 2, shared.in_flight.none()).await;
    }
    handle.stop(true).await;
}

/// Every route. actix runs the middleware that was wrapped last first: record, then guard, then dispatch.
fn configure(app: &mut ServiceConfig, routes: &[Arc<Route>], verifiers: Arc<[Verifier]>) {
    for route in routes {
        let (for_record, for_guard, for_job) =
            (Arc::clone(route), Arc::clone(route), Arc::clone(route));
        // The job is looked up in the table: a `{job}` in the path would be a regular expression.
        let scope = web::scope(&format!("/{}", route.sender))
            .wrap(from_fn(move |request, next| {
                guard::enforce(Arc::clone(&for_guard), request, next)
            }))
            .wrap(from_fn(move |request, next| {
                record::write_one(Arc::clone(&for_record), request, next)
            }))
            .default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
                dispatch(Arc::clone(&for_job), request, payload.into_inner())
            }));
        app.service(scope);
    }
    app.route("/health/live", web::get().to(HttpResponse::NoContent));
    app.route("/health/ready", web::get().to(move || std::future::ready(readiness(&verifiers))));
}

/// Whether keys are there. Never a liveness probe: a key outage must not kill instances.
fn readiness(verifiers: &[Verifier]) -> HttpResponse {
    let has_keys =
        |verifier: &Verifier| matches!(verifier.keys_status(), KeysStatus::Usable { .. });
    if verifiers.iter().all(has_keys) {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::ServiceUnavailable()
            .content_type("application/problem+json")
            .body(r#"{"title":"Service Unavailable","status":503,"detail":"there are no keys to verify tokens with"}"#)
    }
}
