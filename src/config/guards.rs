//! The settings of each sender's guard. There is no default: what is not said is not trusted.

use std::net::IpAddr;

use oidc::{Callers, Policy, Profile, Verifier};

use super::{
    reader::Reader,
    values::{self, Auth, PlatformIdentity},
};
use crate::{
    guard::{Guard, Identity, ProxyProof},
    senders::Sender,
};

/// What the guards of all senders share.
pub(super) struct Guards {
    host: IpAddr,
    google: Profile,
    iap: Profile,
    google_verifier: Option<Verifier>,
    iap_verifier: Option<Verifier>,
}

impl Guards {
    pub(super) fn read(reader: &mut Reader<'_>, host: IpAddr, is_on_cloud_run: bool) -> Self {
        let is_allowed = reader.optional("ALLOW_TEST_ISSUER", values::switch()).unwrap_or(false)
            || !is_on_cloud_run;
        let mut google = Profile::google();
        let mut iap = Profile::iap();
        if let Some(issuer) = reader.optional("OIDC_ISSUER", values::text()) {
            let is_googles = google.issuers().contains(&issuer);
            if !is_allowed && !is_googles {
                reader.fault(
                    "OIDC_ISSUER",
                    Some(&issuer),
                    "Google's issuer on Cloud Run",
                    "leave it out; for a test deployment set ALLOW_TEST_ISSUER=1",
                );
            }
            google = google.with_issuer(issuer);
        }
        for (name, profile) in [("OIDC_KEYS_URL", &mut google), ("IAP_KEYS_URL", &mut iap)] {
            if let Some(url) = reader.optional(name, values::url()) {
                if !is_allowed && !url.starts_with("https://") {
                    reader.fault(
                        name,
                        Some(&url),
                        "an https URL on Cloud Run",
                        "leave it out; for a test deployment set ALLOW_TEST_ISSUER=1",
                    );
                }
                *profile = profile.clone().with_keys_url(url);
            }
        }
        Self { host, google, iap, google_verifier: None, iap_verifier: None }
    }

    /// The guard of one sender, or `None` with a fault for each thing that is missing.
    pub(super) fn of(&mut self, reader: &mut Reader<'_>, sender: Sender) -> Option<Guard> {
        let auth = inherited(reader, sender, "AUTH", values::auth);
        let audiences = inherited(reader, sender, "AUDIENCE", values::list);
        let audience_names = [&*own_name(sender, "AUDIENCE"), "AUDIENCE"];
        let callers_name = own_name(sender, "CALLERS");
        let callers = callers(reader, &callers_name);
        let identity = inherited(reader, sender, "PLATFORM_IDENTITY", values::platform_identity);
        let Some(auth) = auth else {
            let remedy = "say how callers are proved: verify checks each ID token here, platform trusts a front end \
                          that has; verify also needs AUDIENCE and {SENDER}_CALLERS";
            let names = [&*own_name(sender, "AUTH"), "AUTH"];
            missing(reader, &names, "verify or platform", remedy);
            return None;
        };
        match (auth, identity) {
            (Auth::Verify, _) => {
                let policy = policy(
                    reader,
                    (&audience_names, audiences),
                    (&callers_name, callers),
                    FOR_SENDERS,
                )?;
                Some(Guard::Verify { verifier: self.google_verifier(), policy })
            }
            (Auth::Platform, None) => {
                let expected = values::platform_identity().expected;
                let remedy = "say where the front end leaves the identity that it has verified";
                let names = [&*own_name(sender, "PLATFORM_IDENTITY"), "PLATFORM_IDENTITY"];
                missing(reader, &names, expected, remedy);
                None
            }
            (Auth::Platform, Some(PlatformIdentity::Iap)) => {
                let policy = policy(
                    reader,
                    (&audience_names, audiences),
                    (&callers_name, callers),
                    FOR_IAP,
                )?;
                Some(Guard::Iap { verifier: self.iap_verifier(), policy })
            }
            (Auth::Platform, Some(identity)) => {
                let identity = match identity {
                    PlatformIdentity::Header(name) => {
                        Identity::Header { name, proof: self.proxy_proof(reader)? }
                    }
                    _ => Identity::CloudRun,
                };
                let audiences = audiences.unwrap_or_default();
                Some(Guard::Platform { identity, profile: self.google.clone(), audiences, callers })
            }
        }
    }

    /// Every verifier that a guard stands on.
    pub(super) fn verifiers(&self) -> Vec<Verifier> {
        self.google_verifier.iter().chain(&self.iap_verifier).cloned().collect()
    }

    fn google_verifier(&mut self) -> Verifier {
        self.google_verifier.get_or_insert_with(|| Verifier::new(self.google.clone())).clone()
    }

    fn iap_verifier(&mut self) -> Verifier {
        self.iap_verifier.get_or_insert_with(|| Verifier::new(self.iap.clone())).clone()
    }

    /// A proxy's header can be set by whoever goes around the proxy.
    fn proxy_proof(&mut self, reader: &mut Reader<'_>) -> Option<ProxyProof> {
        let callers = callers(reader, "PROXY_CALLERS");
        let audiences = reader.optional("PROXY_AUDIENCE", values::list());
        if callers.is_none() && audiences.is_none() {
            if self.host.is_loopback() {
                return Some(ProxyProof::Loopback);
            }
            reader.fault(
                "HOST",
                Some(&self.host.to_string()),
                "a loopback address where the identity is a proxy's header",
                "set HOST=127.0.0.1 with the proxy beside the receiver, or PROXY_CALLERS and PROXY_AUDIENCE to the \
                 account and audience of the ID token that the proxy sends",
            );
            return None;
        }
        let policy = policy(
            reader,
            (&["PROXY_AUDIENCE"], audiences),
            ("PROXY_CALLERS", callers),
            FOR_PROXY,
        )?;
        Some(ProxyProof::Token { verifier: self.google_verifier(), policy })
    }
}

/// What a route accepts; `remedies` say how the audience and the accounts are to be set.
fn policy(
    reader: &mut Reader<'_>,
    (audience_names, audiences): (&[&str], Option<Vec<String>>),
    (callers_name, callers): (&str, Option<Callers>),
    remedies: Remedies,
) -> Option<Policy> {
    if audiences.is_none() {
        missing(reader, audience_names, "the audience that tokens are made for", remedies.audience);
    }
    if callers.is_none() {
        missing(reader, &[callers_name], "the accounts that may call", remedies.callers);
    }
    Policy::new(audiences?, callers?).ok()
}

/// How the two halves of a policy are to be set.
struct Remedies {
    audience: &'static str,
    callers: &'static str,
}

const FOR_SENDERS: Remedies = Remedies {
    audience: "set it to the service's URL, as in --oidc-token-audience",
    callers: "set the senders' service accounts: an audience alone admits every Google account",
};

const FOR_IAP: Remedies = Remedies {
    audience: "set it to IAP's signed header audience, /projects/NUMBER/global/backendServices/ID or \
               /projects/NUMBER/locations/REGION/services/NAME",
    callers: "set the accounts that may pass: an audience alone admits whoever IAP lets through",
};

const FOR_PROXY: Remedies = Remedies {
    audience: "set it to the audience of the ID token that the proxy sends",
    callers: "set it to the proxy's service account",
};

/// A sender's own setting, or the one for all.
fn inherited<T>(
    reader: &mut Reader<'_>,
    sender: Sender,
    name: &str,
    value: fn() -> values::Value<T>,
) -> Option<T> {
    let own = own_name(sender, name);
    // A wrong value of its own must not fall back to the one for all.
    if reader.raw(&own).is_some() {
        reader.optional(&own, value())
    } else {
        reader.optional(name, value())
    }
}

fn own_name(sender: Sender, name: &str) -> String {
    format!("{}_{name}", sender.as_str().to_uppercase())
}

fn callers(reader: &mut Reader<'_>, name: &str) -> Option<Callers> {
    let entries = reader.optional(name, values::list())?;
    match Callers::parse(&entries) {
        Ok(callers) => Some(callers),
        Err(error) => {
            reader.fault(
                name,
                Some(&entries.join("|")),
                "service accounts by address or numeric id, separated by |",
                &format!("correct it: {error}"),
            );
            None
        }
    }
}

/// A fault for a setting that nobody made under any of its names, the general one last; one that is wrong
/// has a fault already.
fn missing(reader: &mut Reader<'_>, names: &[&str], expected: &str, remedy: &str) {
    let is_missing = names.iter().all(|name| reader.raw(name).is_none());
    if let (true, Some(name)) = (is_missing, names.last()) {
        reader.fault(name, None, expected, remedy);
    }
}
