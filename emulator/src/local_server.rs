//! An actix server on a thread of its own, so that any test or program can hold one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    rt::System,
    web::{self, ServiceConfig},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::error::Error;

/// A listener that is bound and not served yet: its port is known before its routes are.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Binds `127.0.0.1`; port 0 takes a free one.
///
/// # Errors
/// [`Error::Listen`] if the port is taken.
pub(crate) fn bind_loopback(port: u16) -> Result<Bound, Error> {
    bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Binds an address; port 0 takes a free one.
///
/// # Errors
/// [`Error::Listen`] if it is taken or not this machine's.
pub(crate) fn bind(address: SocketAddr) -> Result<Bound, Error> {
    let fault = |source| Error::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok(Bound { listener, address })
}

/// How long a worker may take to end, which it does at once unless something blocks its thread.
const WORKERS_END: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct LocalServer {
    handle: ServerHandle,
    /// Closed once no worker and no connection is left.
    alive: mpsc::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LocalServer {
    /// Serves `routes` on one worker until stopped.
    ///
    /// A thread with its own actix system, because actix needs one and the caller's runtime has none: this works
    /// under any flavour of `#[tokio::test]`.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::Thread`] or [`Error::System`] if the server does not come up.
    pub(crate) async fn start<F>(bound: Bound, routes: F) -> Result<LocalServer, Error>
    where
        F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let address = bound.address.to_string();
        let (tell, told) = oneshot::channel();
        let (living, alive) = mpsc::channel(1);
        let serve = move || {
            System::new().block_on(async move {
                match build(bound.listener, routes, living) {
                    Ok(server) => {
                        // Nobody listens any more if the caller was cancelled; then the server is not wanted.
                        if tell.send(Ok(server.handle())).is_ok() {
                            // The only fault here is a failed accept loop, which clients notice themselves.
                            let _ = server.await;
                        }
                    }
                    Err(fault) => drop(tell.send(Err(fault))),
                }
            });
        };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(serve);
        let thread = thread
            .map_err(|source| Error::System { what: "start a thread that serves HTTP", source })?;
        let handle = told
            .await
            .map_err(|_| Error::Thread("serves HTTP"))?
            .map_err(|source| Error::Listen { address, source })?;
        Ok(LocalServer { handle, alive, thread: Some(thread) })
    }

    /// Stops at once, open connections included, and waits until the port is free again.
    pub(crate) async fn stop(mut self) {
        self.handle.stop(false).await;
        if let Some(thread) = self.thread.take() {
            // The server has answered that it stopped; its thread has nothing left to do but end.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        // Stopped at once, actix waits for no worker: a connection that is open would be answered once more.
        let _ = timeout(WORKERS_END, self.alive.recv()).await;
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        // The command is sent by the call; the future only waits for the answer.
        drop(self.handle.stop(false));
    }
}

/// Every worker's app, and with it every connection, holds a clone of `living`.
fn build<F>(
    listener: TcpListener,
    routes: F,
    living: mpsc::Sender<()>,
) -> io::Result<actix_web::dev::Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let app = move || {
        // Routes that read larger bodies set a limit of their own.
        App::new()
            .app_data(living.clone())
            .app_data(web::PayloadConfig::new(1 << 20))
            .configure(routes.clone())
    };
    Ok(HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run())
}
