//! The probe that a deployment calls on a new revision.

use emulator::{Method, senders::scheduler::Run};
use receiver::jobs;

use crate::harness::{SCHEDULER, Service, field};

/// As curl sends it: without a body, and without Scheduler's headers.
#[tokio::test]
async fn the_probe_answers_204_to_a_bare_get_of_a_caller_and_is_recorded() {
    let mut service = Service::start(jobs::jobs()).await;
    let run = Run { method: Method::Get, ..Run::new("probe") };
    let mut bare = run.delivery();
    bare.headers.clear();
    let (answer, _) = service.send("/scheduler/probe", &bare).await;
    assert_eq!(answer.status, 401);
    let bare = bare.bearer(&service.token(SCHEDULER));
    // Twice: it has no name by which it could be a duplicate.
    for _ in 0..2 {
        let (answer, record) = service.send("/scheduler/probe", &bare).await;
        assert_eq!((answer.status, field(&record, "outcome")), (204, "done"));
    }
}
