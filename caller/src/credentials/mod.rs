//! Who one is: a key file, a user of gcloud, an account that is impersonated, or this machine's.

mod application_default;
mod assertion;
#[cfg(feature = "federation")]
mod federation;
mod file;
mod impersonated;
mod key_file;
mod metadata_server;
mod user;

use std::{fmt, path::Path, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};

use crate::{environment::Environment, error::Error, http::Transport, token::Token};

/// For the APIs that are called here; what an account may do with it is IAM's to say.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Credentials of one of Google's kinds. They hold secrets, which `Debug` does not show.
#[derive(Clone)]
pub struct Credentials {
    kind: Kind,
    transport: Transport,
}

#[derive(Clone)]
enum Kind {
    KeyFile(Arc<key_file::KeyFile>),
    MetadataServer(Arc<metadata_server::MetadataServer>),
    User(Arc<user::User>),
    Impersonated(Arc<impersonated::Impersonated>),
    #[cfg(feature = "federation")]
    Federated(Arc<federation::Federated>),
}

impl Credentials {
    /// Application default credentials, in Google's order: the file of `GOOGLE_APPLICATION_CREDENTIALS`, the file that
    /// gcloud leaves, the metadata server
    /// (<https://cloud.google.com/docs/authentication/application-default-credentials#order>). Whether that one is
    /// there shows when it is first asked.
    ///
    /// # Errors
    /// [`Error::CredentialsFile`] for a file that is there and cannot be used.
    pub fn application_default(environment: &Environment) -> Result<Credentials, Error> {
        application_default::find(environment)
    }

    /// A service account's key file.
    ///
    /// # Errors
    /// [`Error::CredentialsFile`].
    pub fn key_file(path: &Path) -> Result<Credentials, Error> {
        let key_file = key_file::KeyFile::read(path)?;
        Ok(Credentials::of(Kind::KeyFile(Arc::new(key_file)), Transport::default()))
    }

    /// The account that this machine of Google's runs as: on Compute Engine, GKE, Cloud Run and Cloud Functions.
    pub fn metadata_server(environment: &Environment) -> Credentials {
        let server = metadata_server::MetadataServer::at(&environment.metadata_host);
        Credentials::of(Kind::MetadataServer(Arc::new(server)), Transport::default())
    }

    /// Another account, as which these credentials may act: they need `roles/iam.serviceAccountOpenIdTokenCreator` on
    /// it for ID tokens, and `roles/iam.serviceAccountTokenCreator` to call APIs.
    ///
    /// Of `delegates`, where there are any, each may act as the next one, and the last as `account`
    /// (<https://cloud.google.com/iam/docs/create-short-lived-credentials-delegated>).
    #[must_use]
    pub fn impersonate(
        self,
        account: &str,
        delegates: &[String],
        environment: &Environment,
    ) -> Credentials {
        let url = environment.iam_credentials_url.clone();
        let transport = self.transport.clone();
        let impersonated = impersonated::Impersonated::new(self, account, delegates, url);
        Credentials::of(Kind::Impersonated(Arc::new(impersonated)), transport)
    }

    fn of(kind: Kind, transport: Transport) -> Credentials {
        Credentials { kind, transport }
    }

    /// An ID token with the email in it, fetched now.
    pub(crate) async fn fetch_id_token(&self, audience: &str) -> Result<Token, Error> {
        let transport = &self.transport;
        match &self.kind {
            Kind::KeyFile(key_file) => key_file.id_token(transport, audience).await,
            Kind::MetadataServer(server) => server.id_token(transport, audience).await,
            Kind::User(_) => Err(Error::NoIdToken { what: "a user's credentials" }),
            Kind::Impersonated(one) => one.id_token(transport, audience).await,
            #[cfg(feature = "federation")]
            Kind::Federated(_) => Err(Error::NoIdToken { what: "a federated workload" }),
        }
    }

    /// An access token for Google's APIs, fetched now. Boxed, since impersonation asks for one itself.
    pub(crate) fn fetch_access_token(&self) -> BoxFuture<'_, Result<Token, Error>> {
        let transport = &self.transport;
        async move {
            match &self.kind {
                Kind::KeyFile(key_file) => key_file.access_token(transport).await,
                Kind::MetadataServer(server) => server.access_token(transport).await,
                Kind::User(user) => user.access_token(transport).await,
                Kind::Impersonated(one) => one.access_token(transport).await,
                #[cfg(feature = "federation")]
                Kind::Federated(federated) => federated.access_token().await,
            }
        }
        .boxed()
    }

    /// Whom a role would have to be granted, as IAM names them; a machine is asked for its account.
    pub(crate) async fn member(&self) -> String {
        match &self.kind {
            Kind::KeyFile(key_file) => format!("serviceAccount:{}", key_file.account()),
            Kind::MetadataServer(server) => {
                let email = server.email(&self.transport).await;
                format!("serviceAccount:{}", email.as_deref().unwrap_or("THIS-MACHINE"))
            }
            Kind::User(_) => "user:YOU".to_owned(),
            Kind::Impersonated(one) => format!("serviceAccount:{}", one.account()),
            #[cfg(feature = "federation")]
            Kind::Federated(_) => "principal://YOUR-WORKLOAD".to_owned(),
        }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::KeyFile(key_file) => key_file.account(),
            Kind::MetadataServer(_) => "metadata server",
            Kind::User(_) => "user",
            Kind::Impersonated(one) => one.account(),
            #[cfg(feature = "federation")]
            Kind::Federated(_) => "federated",
        };
        f.debug_tuple("Credentials").field(&kind).finish()
    }
}
