//! What a shell needs so that `gcloud`, client libraries and the receiver find the emulator.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::project::Project;

/// The APIs that gcloud asks under a prefix of their own, as its `api_endpoint_overrides` name them.
const APIS: [&str; 15] = [
    "appengine",
    "artifactregistry",
    "cloudbilling",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "cloudtasks",
    "iam",
    "iamcredentials",
    "logging",
    "monitoring",
    "pubsub",
    "serviceusage",
    "storage",
];

/// Where an emulator is and what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its base URL, without a slash at the end.
    pub url: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// Its project.
    pub project: Project,
}

impl Environment {
    /// Lines for `eval "$(emulator env)"`, in any shell of the Bourne family; without comments, which an interactive zsh
    /// would take for commands.
    ///
    /// gcloud gets a folder of its own below `temporary`, so that the person's own configuration is neither read nor
    /// changed.
    pub fn exports(&self, temporary: &Path) -> String {
        let Environment { url, issuer, project } = self;
        let (authority, _, port) = self.address();
        let folder = temporary.join(format!("emulator-{port}"));
        let token_file = folder.join("access-token");
        let token_file = token_file.to_string_lossy();
        let mut lines = Lines::default();
        // Impersonation needs credentials, so gcloud's switch to have none will not do. Any token that the emulator did
        // not hand out is the developer's.
        lines.line(&format!("mkdir -p -m 700 {}", quoted(&folder.to_string_lossy())));
        lines.line(&format!("echo developer >| {}", quoted(&token_file)));
        lines.export("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", &token_file);
        for (name, value) in self.gcloud(&folder) {
            lines.export(&name, &value);
        }
        lines.export("GOOGLE_CLOUD_PROJECT", &project.id);
        lines.export("GCE_METADATA_HOST", authority);
        lines.export("OIDC_ISSUER", issuer);
        lines.export("OIDC_KEYS_URL", &format!("{url}/oauth2/v3/certs"));
        lines.0
    }

    /// What makes gcloud speak to it alone, with its own files in `folder`: ask no questions, look for no updates, send
    /// its calls here. As whom it calls is left to whoever sets these.
    pub(crate) fn gcloud(&self, folder: &Path) -> Vec<(String, String)> {
        let Environment { url, project, .. } = self;
        let (_, host, port) = self.address();
        let mut variables = vec![
            ("CLOUDSDK_CONFIG".to_owned(), folder.to_string_lossy().into_owned()),
            ("CLOUDSDK_AUTH_TOKEN_HOST".to_owned(), format!("{url}/token")),
        ];
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        for (name, value) in [
            ("CLOUDSDK_CORE_PROJECT", &*project.id),
            ("CLOUDSDK_CORE_DISABLE_PROMPTS", "1"),
            ("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true"),
            ("CLOUDSDK_CORE_DISABLE_FILE_LOGGING", "1"),
            ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"),
            ("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true"),
        ] {
            set(name, value);
        }
        for api in APIS {
            let name = format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{}", api.to_ascii_uppercase());
            set(&name, &format!("{url}/{api}/"));
        }
        // gcloud puts the region in front of this host, which no resolver knows then: hence the proxy. What has no
        // address here fails there at once, instead of reaching Google.
        let run = format!("http://run.localhost:{port}/run/");
        set("CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN", &run);
        set("CLOUDSDK_PROXY_TYPE", "http");
        set("CLOUDSDK_PROXY_ADDRESS", host);
        set("CLOUDSDK_PROXY_PORT", port);
        variables
    }

    /// `host:port`, the host and the port.
    fn address(&self) -> (&str, &str, &str) {
        let authority = self.url.split_once("://").map_or(&*self.url, |(_, authority)| authority);
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        (authority, host, port)
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn export(&mut self, name: &str, value: &str) {
        self.line(&format!("export {name}={}", quoted(value)));
    }
}

/// The text as one word of the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn environment() -> Environment {
        let url = "http://127.0.0.1:8800".to_owned();
        Environment { issuer: url.clone(), url, project: Project::default() }
    }

    #[test]
    fn the_exports_are_these() {
        let apis = APIS.map(|api| {
            let name = api.to_ascii_uppercase();
            format!(
                "export CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}='http://127.0.0.1:8800/{api}/'\n"
            )
        });
        let expected = [
            "mkdir -p -m 700 '/tmp/emulator-8800'\n",
            "echo developer >| '/tmp/emulator-8800/access-token'\n",
            "export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE='/tmp/emulator-8800/access-token'\n",
            "export CLOUDSDK_CONFIG='/tmp/emulator-8800'\n",
            "export CLOUDSDK_AUTH_TOKEN_HOST='http://127.0.0.1:8800/token'\n",
            "export CLOUDSDK_CORE_PROJECT='demo-project'\n",
            "export CLOUDSDK_CORE_DISABLE_PROMPTS='1'\n",
            "export CLOUDSDK_CORE_DISABLE_USAGE_REPORTING='true'\n",
            "export CLOUDSDK_CORE_DISABLE_FILE_LOGGING='1'\n",
            "export CLOUDSDK_CORE_CHECK_GCE_METADATA='false'\n",
            "export CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK='true'\n",
            &apis.concat(),
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN='http://run.localhost:8800/run/'\n",
            "export CLOUDSDK_PROXY_TYPE='http'\n",
            "export CLOUDSDK_PROXY_ADDRESS='127.0.0.1'\n",
            "export CLOUDSDK_PROXY_PORT='8800'\n",
            "export GOOGLE_CLOUD_PROJECT='demo-project'\n",
            "export GCE_METADATA_HOST='127.0.0.1:8800'\n",
            "export OIDC_ISSUER='http://127.0.0.1:8800'\n",
            "export OIDC_KEYS_URL='http://127.0.0.1:8800/oauth2/v3/certs'\n",
        ];
        assert_eq!(environment().exports(Path::new("/tmp")), expected.concat());
    }

    #[test]
    fn a_shell_reads_the_exports_whatever_is_in_them() {
        let temporary = std::env::temp_dir().join(format!("it's $HOME {}", std::process::id()));
        let exports = environment().exports(&temporary);
        for shell in ["sh", "bash", "zsh"] {
            let script = "set -eu; eval \"$1\"; echo \"$CLOUDSDK_CONFIG\"; \
                          cat \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\"; \
                          echo \"$CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS\"";
            let mut command = Command::new(shell);
            let output = match command.args(["-c", script, shell, &exports]).output() {
                Ok(output) => output,
                // Only sh is everywhere.
                Err(_) if shell != "sh" => continue,
                Err(fault) => panic!("{fault}"),
            };
            let folder = temporary.join("emulator-8800");
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                format!("{}\ndeveloper\nhttp://127.0.0.1:8800/cloudtasks/\n", folder.display()),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::fs::remove_dir_all(&temporary).unwrap();
    }
}
