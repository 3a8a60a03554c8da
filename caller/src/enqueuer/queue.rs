//! The full name of a queue.

use std::{fmt, str::FromStr};

use super::EnqueueError;

/// `projects/PROJECT/locations/LOCATION/queues/QUEUE`, which is what it reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    project: String,
    location: String,
    id: String,
}

impl Queue {
    /// A queue by its parts.
    ///
    /// # Errors
    /// [`EnqueueError::Invalid`] for a part that cannot be.
    pub fn new(project: &str, location: &str, id: &str) -> Result<Queue, EnqueueError> {
        // https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#Queue.FIELDS.name
        let checks = [
            ("project", project, ".:-", 100),
            ("location", location, "-", 100),
            ("queue", id, "-", 100),
        ];
        for (what, value, marks, most) in checks {
            let is_fit = |b: u8| b.is_ascii_alphanumeric() || marks.as_bytes().contains(&b);
            if value.is_empty() || value.len() > most || !value.bytes().all(is_fit) {
                return Err(EnqueueError::Invalid(format!(
                    "the {what} is {:?}; expected letters, digits and {marks:?}, {most} at most",
                    oidc::shown(value)
                )));
            }
        }
        Ok(Queue { project: project.into(), location: location.into(), id: id.into() })
    }

    /// The project's id.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The region.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The queue's own id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for Queue {
    type Err = EnqueueError;

    fn from_str(name: &str) -> Result<Queue, EnqueueError> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["projects", project, "locations", location, "queues", id] => {
                Queue::new(project, location, id)
            }
            _ => Err(EnqueueError::Invalid(format!(
                "the queue is {:?}; expected projects/PROJECT/locations/LOCATION/queues/QUEUE",
                oidc::shown(name)
            ))),
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Queue { project, location, id } = self;
        write!(f, "projects/{project}/locations/{location}/queues/{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_a_full_name() {
        for name in [
            "projects/demo-project/locations/us-central1/queues/receipts",
            "projects/example.com:demo/locations/europe-west1/queues/a",
        ] {
            assert_eq!(name.parse::<Queue>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "receipts",
            "projects/p/locations/l/queues",
            "projects/p/locations/l/queues/",
            "projects/p/locations/l/queues/a b",
            "projects/p/locations/l/queues/a/tasks/b",
            "projects/p/locations/l/queues/..%2F",
        ] {
            assert!(name.parse::<Queue>().unwrap_err().to_string().contains("expected"), "{name}");
        }
    }
}
