//! What a client has to the other side.

use std::sync::Arc;

use procall_proto::Config;

use crate::channel::Channel;
use crate::connection::Connection;
use crate::finder::Finder;
use crate::redial::{Connect, Redial};

/// What a client has to the other side.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// This connection, and when it is lost that was it.
    Fixed(Arc<Connection>),
    /// One that is made anew: an engine may be restarted at any time.
    Redial(Arc<Redial>),
}

impl Line {
    /// A line over the connection that was found.
    pub(crate) fn found(
        finder: &Finder,
        config: Config,
        connection: Connection,
        connect: Box<Connect>,
    ) -> Self {
        match finder.leads_to_engine() || connection.leads_to_router() {
            true => Self::Redial(Arc::new(Redial::keep(finder, config, connection, connect))),
            false => Self::fixed(connection),
        }
    }

    pub(crate) fn fixed(connection: Connection) -> Self {
        Self::Fixed(Arc::new(connection))
    }

    pub(crate) fn connection(&self) -> Connection {
        match self {
            Self::Fixed(connection) => Connection::clone(connection),
            Self::Redial(redial) => redial.connection(),
        }
    }

    pub(crate) fn channel(&self) -> &dyn Channel {
        match self {
            Self::Fixed(connection) => &**connection,
            Self::Redial(redial) => &**redial,
        }
    }

    pub(crate) fn shared(&self) -> Arc<dyn Channel> {
        match self {
            Self::Fixed(connection) => connection.clone(),
            Self::Redial(redial) => redial.clone(),
        }
    }

    pub(crate) fn close(&self) {
        self.channel().close();
    }
}
