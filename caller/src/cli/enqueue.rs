//! `oidc-caller enqueue`.

use std::{process::ExitCode, time::Duration};

use caller::{
    Audience, Enqueuer, Environment, Queue, Task, TaskId, audience_of, doubted, enqueuer::Method,
};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::{call, credentials_args::CredentialsArgs, fault::Fault, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The queue: its id with --location and a project, or projects/P/locations/L/queues/Q
    #[arg(long)]
    queue: String,
    /// The project of the queue
    #[arg(long, env = "GOOGLE_CLOUD_PROJECT", hide_env_values = true)]
    project: Option<String>,
    /// The region of the queue
    #[arg(long)]
    location: Option<String>,
    /// Where the task is delivered
    #[arg(long)]
    url: String,
    /// `aud` of the token; worked out from the URL unless it is given
    #[arg(long)]
    audience: Option<String>,
    /// The account whose token the task carries
    #[arg(long, value_name = "ACCOUNT")]
    service_account: String,
    #[command(flatten)]
    credentials: CredentialsArgs,
    /// What the task is called: it is created once while Cloud Tasks remembers the name; a random one if it is not given
    #[arg(long, value_parser = |id: &str| id.parse::<TaskId>())]
    name: Option<TaskId>,
    /// When it is due, such as 2026-11-24T18:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "in_")]
    at: Option<Timestamp>,
    /// In how long it is due, such as 90s, 15m or 2h
    #[arg(long = "in", value_name = "DURATION", value_parser = span)]
    in_: Option<SignedDuration>,
    /// How long an attempt may take, 15s to 30m
    #[arg(long, value_name = "DURATION", value_parser = span)]
    dispatch_deadline: Option<SignedDuration>,
    /// The method
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "POST", value_parser = |word: &str| word.parse::<Method>())]
    request: Method,
    /// The body; @FILE reads it from a file, @- from standard input
    #[arg(long, short)]
    data: Option<String>,
    /// A header of the delivery; may be given more than once
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = call::header)]
    header: Vec<(HeaderName, HeaderValue)>,
}

fn span(text: &str) -> Result<SignedDuration, String> {
    let span: Option<SignedDuration> = text.parse().ok();
    span.filter(|span| !span.is_negative())
        .ok_or_else(|| "expected a duration such as 90s, 15m or 2h".to_owned())
}

pub(super) async fn run(args: Args, json: bool) -> Result<ExitCode, Fault> {
    let queue = queue(&args)?;
    let Audience { value: audience, doubt } = match &args.audience {
        Some(audience) => doubted(audience.clone()),
        None => audience_of(&args.url)?,
    };
    if let Some(doubt) = doubt {
        print::warn(&format!("of the audience {audience}: {doubt}"))?;
    }
    let id = args.name.map_or_else(TaskId::random, Ok)?;
    let mut task = Task::new(id, &args.url, &audience, &args.service_account);
    task.method = args.request;
    task.body = call::body(args.data)?.unwrap_or_default().into();
    for (name, value) in &args.header {
        let text = value
            .to_str()
            .map_err(|_| Fault::Usage(format!("the header {name} is not plain ASCII")))?;
        task.headers.push((name.to_string(), text.to_owned()));
    }
    task.schedule_time = match args.in_ {
        Some(span) => Some(Timestamp::now().checked_add(span).map_err(|_| {
            Fault::Usage(
                "--in is farther than any calendar reaches; Cloud Tasks takes 30 days".to_owned(),
            )
        })?),
        None => args.at,
    };
    task.dispatch_deadline =
        args.dispatch_deadline.map(|span| Duration::from_secs(span.as_secs().unsigned_abs()));
    let environment = Environment::read();
    let credentials = args.credentials.credentials(&environment)?;
    let name = Enqueuer::new(queue, credentials, &environment).enqueue(&task).await?;
    if json {
        print::object(&json!({"name": name}))?
    } else {
        print::line(&name)?
    }
    Ok(ExitCode::SUCCESS)
}

fn queue(args: &Args) -> Result<Queue, Fault> {
    if args.queue.contains('/') {
        return Ok(args.queue.parse()?);
    }
    let needed = |value: &Option<String>, option: &str| {
        value.clone().filter(|value| !value.is_empty()).ok_or_else(|| {
            Fault::Usage(format!(
                "the queue's {option} is not known; say --{option}, or --queue with the full name"
            ))
        })
    };
    let project = needed(&args.project, "project")?;
    Ok(Queue::new(&project, &needed(&args.location, "location")?, &args.queue)?)
}
