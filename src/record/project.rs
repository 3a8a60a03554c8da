//! The project that traces are named by, which may become known after the start.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use crate::metadata_server::MetadataServer;

/// How often the metadata server is asked at most, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// The id of a Google Cloud project, once it is known. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Project(Arc<OnceLock<String>>);

impl Project {
    /// The id, if it is known by now.
    pub fn id(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Asks the metadata server, on a thread of its own: the start waits for nothing.
    pub(crate) fn find(&self, metadata_server: MetadataServer) {
        let project = self.clone();
        let ask = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(project.ask(&metadata_server)),
                Err(error) => unknown(&error.to_string()),
            }
        };
        if let Err(error) = thread::Builder::new().name("project".to_owned()).spawn(ask) {
            unknown(&error.to_string());
        }
    }

    async fn ask(&self, metadata_server: &MetadataServer) {
        for tried in 1..=TRIES {
            match metadata_server.project().await {
                Ok(id) => {
                    let _ = self.0.set(id);
                    return;
                }
                Err(reason) if tried == TRIES => unknown(&reason),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl From<Option<String>> for Project {
    fn from(id: Option<String>) -> Self {
        Project(Arc::new(id.map_or_else(OnceLock::new, OnceLock::from)))
    }
}

fn unknown(reason: &str) {
    tracing::warn!(
        reason,
        "the project is not known, so records name no trace and do not stand under their requests; set GOOGLE_CLOUD_PROJECT"
    );
}
