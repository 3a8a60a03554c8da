"""Creates a queue with one task, and a job, and runs the job: by Google's own clients over REST."""

import sys

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import scheduler_v1, tasks_v2

endpoint, project, service, email, audience = sys.argv[1:]
location = f"projects/{project}/locations/us-central1"
options = {
    "transport": "rest",
    "credentials": AnonymousCredentials(),
    "client_options": ClientOptions(api_endpoint=endpoint),
}

tasks = tasks_v2.CloudTasksClient(**options)
queue = tasks.create_queue(parent=location, queue=tasks_v2.Queue(name=f"{location}/queues/python"))
assert queue.state == tasks_v2.Queue.State.RUNNING, queue
task = tasks_v2.Task(
    name=f"{queue.name}/tasks/python-1",
    http_request=tasks_v2.HttpRequest(
        url=f"{service}/tasks/done",
        http_method=tasks_v2.HttpMethod.PUT,
        headers={"Content-Type": "application/json"},
        body=b'"PAYLOAD-MARKER"',
        oidc_token=tasks_v2.OidcToken(service_account_email=email, audience=audience),
    ),
)
created = tasks.create_task(parent=queue.name, task=task)
assert created.http_request.http_method == tasks_v2.HttpMethod.PUT, created

scheduler = scheduler_v1.CloudSchedulerClient(**options)
job = scheduler_v1.Job(
    name=f"{location}/jobs/python",
    schedule="0 0 1 1 *",
    time_zone="Europe/Berlin",
    http_target=scheduler_v1.HttpTarget(
        uri=f"{service}/scheduler/done",
        http_method=scheduler_v1.HttpMethod.GET,
        oidc_token=scheduler_v1.OidcToken(service_account_email=email, audience=audience),
    ),
)
created = scheduler.create_job(parent=location, job=job)
assert created.state == scheduler_v1.Job.State.ENABLED, created
assert created.schedule_time, created
scheduler.run_job(name=job.name)
