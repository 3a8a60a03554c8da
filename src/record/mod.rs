//! The one structured log entry of an attempt, and the middleware that writes exactly one.

mod attempt;

pub(crate) mod current;

mod entry;

mod project;

mod telemetry;

mod text;

use std::{cell::RefCell, collections::BTreeSet, fmt, io::Write, sync::Arc};

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

pub(crate) use self::attempt::{Attempt, DedupNote};
use self::attempt::{State, Watch};
pub use self::project::Project;
use crate::dispatch::Route;

/// Where records go, and what all of them carry.
#[derive(Clone)]
pub struct Records {
    sink: Sink,
    format: Format,
    about: Arc<About>,
}

/// Takes one whole line, its newline included.
type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on one line, in Cloud Logging's structured format.
    Json,
    /// One line for people, in colour or not.
    Text {
        /// Whether escape sequences for colour are written.
        is_coloured: bool,
    },
}

/// What every record carries of the service it is from.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `GOOGLE_CLOUD_PROJECT`, else what the metadata server of Cloud Run says: until it is known no trace can be named in
    /// full, so none is.
    pub project: Project,
    /// `K_SERVICE`.
    pub service: Option<String>,
    /// `K_REVISION`.
    pub revision: Option<String>,
    /// The message attributes whose values may stand in a record.
    pub attributes: BTreeSet<String>,
}

impl Records {
    /// Records on standard output, one write each.
    pub fn to_stdout(format: Format, about: About) -> Self {
        Self::to(format, about, |line| {
            // Nowhere is left to report to where standard output is closed; the work goes on.
            let _ = std::io::stdout().lock().write_all(line);
        })
    }

    /// Records handed to `sink`, a line at a time.
    pub fn to(format: Format, about: About, sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), format, about: Arc::new(about) }
    }

    fn write(&self, state: &State, attempt: &Attempt) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                Format::Json => entry::write(line, state, attempt, &self.about),
                Format::Text { is_coloured } => text::write(line, state, attempt, is_coloured),
            }
            line.push(b'\n');
            (self.sink)(line);
        });
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The outermost middleware: begins an [`Attempt`] and writes its one record, whether what is inside
/// answers, fails or is dropped.
pub(crate) async fn write_one<B: MessageBody + 'static>(
    route: Arc<Route>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let attempt = Arc::new(Attempt::new(route, &request));
    request.extensions_mut().insert(Arc::clone(&attempt));
    let mut watch = Watch(Some(Arc::clone(&attempt)));
    let response = current::within(Arc::clone(&attempt), next.call(request)).await;
    watch.0 = None;
    attempt.answered(match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    });
    attempt.handed_over().await;
    response
}
