//! Gateways: a foreign protocol on one side, ours on the other.

pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod roadmap;

use std::sync::Arc;

use procall::transport::PeerCredentials;
use procall::{Connection, Error, RawService};

use crate::facts::Facts;
use crate::tokens::Pass;

/// The engine, as a gateway sees it.
pub(crate) trait Host: Send + Sync + 'static {
    /// A native connection to the engine for a foreign peer. `service` gets the calls and notifications that are meant for the peer;
    /// [`Connection::register`] tells what the peer serves.
    fn attach(&self, facts: Facts, service: Arc<dyn RawService>) -> Result<Connection, Error>;

    /// Lets a peer in, by what the kernel says of it or by the token that it has shown. The answer belongs into [`Facts::pass`].
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED when the token is wrong, or missing where one is needed.
    fn authenticate(
        &self,
        credentials: Option<PeerCredentials>,
        token: Option<&[u8]>,
    ) -> Result<Pass, Error>;

    /// So much more that is stray has come from a JSON peer, or could not go to it.
    fn strayed(&self, more: json::Counters);
}
