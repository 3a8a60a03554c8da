//! `emulator serve`.

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use emulator::{Behind, Emulator, Error, Options, Project, RunBuilds};

use super::{name_value, values};

/// What to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = super::DEFAULT_PORT)]
    port: u16,
    /// `iss` of the tokens [default: the server's own URL]
    #[arg(long, value_name = "URL", value_parser = values::url)]
    issuer: Option<String>,
    /// The project that everything is in
    #[arg(long, value_name = "ID", default_value_t = Project::default().id)]
    project: String,
    /// Its number, which stands in the names of Google's agents
    #[arg(long, value_name = "NUMBER", default_value_t = Project::default().number)]
    project_number: u64,
    /// Pub/Sub's agent may mint no tokens until it is granted that, as in projects of before April 2021
    #[arg(long)]
    legacy_agents: bool,
    /// What stands behind a Cloud Run service: a URL, such as receiver=http://127.0.0.1:8080, or a program, which is
    /// started for each revision with the environment and arguments that it was deployed with: whoever on this machine
    /// reaches the port can have it run so, though no web page can; may be given more than once
    #[arg(long, value_name = "NAME=URL|PROGRAM", value_parser = name_value::behind)]
    run: Vec<(String, Behind)>,
    /// Run the steps of builds on this machine, without their images (whoever reaches the port can run anything)
    #[arg(long)]
    run_builds: bool,
    /// Programs that builds' steps find before all others, such as a stand-in for docker
    #[arg(long, value_name = "FOLDER", requires = "run_builds")]
    build_tools: Option<PathBuf>,
    /// Start with no API enabled, as a fresh project
    #[arg(long)]
    no_apis: bool,
    /// Start as a project that nobody pays for
    #[arg(long)]
    no_billing: bool,
    /// Resources to start with, as `emulator export` printed them
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let state = args.state.as_deref().map(super::import::read).transpose()?;
    let emulator = Emulator::start(Options {
        port: args.port,
        issuer: args.issuer,
        project: Project { id: args.project, number: args.project_number },
        legacy_agents: args.legacy_agents,
        run: args.run,
        run_builds: args.run_builds.then_some(RunBuilds { tools: args.build_tools }),
        apis_disabled: args.no_apis,
        billing_disabled: args.no_billing,
        ..Options::default()
    })
    .await?;
    if let Some(state) = state {
        let document = serde_json::from_str(&state)
            .map_err(|source| Error::Json { what: "the file of --state", source })?;
        emulator.import(document).await?;
    }
    writeln!(
        stdout(),
        "issuing as {} on {}, keys at {}",
        emulator.issuer(),
        emulator.url(),
        emulator.keys_url()
    )?;
    super::stopped().await?;
    emulator.stop().await;
    Ok(ExitCode::SUCCESS)
}
