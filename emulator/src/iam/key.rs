//! Stub.
use serde::{Deserialize, Serialize};

/// The public half of an account's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PublicKey {}
