//! Links over TLS 1.3: for peers on other machines, or on a network that others can read.
//!
//! A [`TlsLink`] keeps the same contract as every other link. The handshake is part of it: it goes on with every
//! [`receive`](crate::Link::receive) and [`flush`](crate::Link::flush), and what is queued before it is over waits until then.
//!
//! ```no_run
//! use procall_transport::tls::{Authorities, ClientTls, TlsLink};
//! use procall_transport::{Link, LinkOptions};
//!
//! let tls = ClientTls::new(&Authorities::of_the_system()?, None)?;
//! let link = TlsLink::connect("engine.example", 8443, &tls, &LinkOptions::default())?;
//! assert_eq!(link.info().transport, "tls");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod dial;
mod link;
mod wire;

pub use config::{Authorities, ClientTls, Identity, ServerTls};
pub use dial::{TlsDial, TlsListener};
pub use link::TlsLink;
