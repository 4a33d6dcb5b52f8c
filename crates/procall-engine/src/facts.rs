//! What is known of a peer besides what it says itself.

use procall::schemars::{self, JsonSchema};
use procall::transport::PeerCredentials;

use crate::tokens::Pass;

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaks {
    /// The native protocol.
    Native,
    /// JSON messages, the engine dialect.
    Json,
    /// The roadmap dialect.
    Roadmap,
    /// HTTP requests.
    Http,
    /// It lives in the engine's own process.
    Inside,
}

/// Whose peer it is, for bounds on how many one may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    User(u32),
    Address(&'a str),
}

/// What is known of a peer besides what it says itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it is, for people; over TCP its address as text, by which `to` may name it.
    pub address: String,
    /// Who it is, where the kernel vouches for it.
    pub credentials: Option<PeerCredentials>,
    /// Notifications to everybody reach it.
    pub hears_broadcasts: bool,
    /// What it may do; `None` for a native peer that has to show a token first.
    pub pass: Option<Pass>,
    /// The service that it looks for, where it does not say so natively.
    pub want: Option<String>,
}

/// The address of those who live in the engine's own process.
const INSIDE: &str = "inside";

impl Facts {
    /// One that lives in the engine's own process and may do everything: whoever runs the engine has put it there.
    pub(crate) fn inside(speaks: Speaks) -> Self {
        Self {
            speaks,
            address: INSIDE.to_owned(),
            credentials: None,
            hears_broadcasts: false,
            pass: Some(Pass::full()),
            want: None,
        }
    }

    /// Whether it is a service that the engine starts itself, or a client in its process.
    pub(crate) fn is_own(&self) -> bool {
        self.credentials.is_none() && self.address == INSIDE
    }

    pub(crate) fn whose(&self) -> Owner<'_> {
        match self.credentials {
            Some(credentials) => Owner::User(credentials.uid),
            None => Owner::Address(
                self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host),
            ),
        }
    }
}
