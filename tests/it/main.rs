//! The receiver as its senders see it: over real HTTP, through the production `Server::bind`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers here are outside of test functions"
)]

mod harness;

mod copied;

mod wire;

mod senders;

mod guard_verify;

mod guard_platform;

mod keys;

mod outcomes;

mod bodies;

mod dedup;

mod records;

mod telemetry;

mod settings;

mod lifecycle;

mod hang_up;

mod local;

mod pubsub_emulator;

mod gcloud;

mod gcloud_commands;

mod gcloud_projects;

mod cloud_build;

mod seed_story;

mod cloud_logging;

mod monitoring;

mod faults;

mod sender_scripts;

mod fire_script;

mod peers;

mod whole_way;

mod deployment;

mod gateways;

mod probe;

mod new_job;

// begin template
mod skeleton;
// end template

mod shipping;

mod deploy_settings;

mod cloud_run;
