//! Moves whole messages between two processes, and knows nothing of calls.
//!
//! A [`Link`] carries messages between two peers and never waits; [`readiness`] is where its owner waits.
//! Four transports implement it: [`mem`] (in process), [`unix`] (one machine, and from there into [shared memory](shm)), [`tcp`], and with the
//! feature of that name `tls`.
//! There are no threads in here, no runtime and no clock.
//!
//! ```
//! use procall_transport::{Link, LinkOptions, readiness, unix::UnixLink};
//!
//! let (mut left, mut right) = UnixLink::pair(&LinkOptions::default())?;
//!
//! let room = left.buffer(5)?.expect("a new link has room");
//! room.copy_from_slice(b"hello");
//! left.commit();
//! assert!(left.flush()?, "five bytes fit into the kernel");
//!
//! assert!(readiness::wait(right.readiness(), None)?);
//! assert_eq!(right.receive()?, Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The mistake to avoid
//!
//! One wake may bring many messages, and only the first of them rings.
//! Waiting again while [`Link::receive`] still has some sleeps beside a full letterbox:
//!
//! ```no_run
//! # use procall_transport::{Link, LinkError, readiness};
//! # fn handle(_: &[u8]) {}
//! # fn run(link: &mut dyn Link) -> Result<(), LinkError> {
//! loop {
//!     readiness::wait(link.readiness(), None)?;
//!     // Wrong: `if let Some(message) = link.receive()? { handle(message) }`
//!     while let Some(message) = link.receive()? {
//!         handle(message);
//!     }
//!     link.flush()?;
//! }
//! # }
//! ```

#![deny(unsafe_code)]

mod link;

mod address;
mod buffer;
mod secrecy;
mod stream;

pub mod mem;
pub mod shm;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod unix;

pub mod fd;
pub mod readiness;

pub use address::{Address, AddressError, connect};
pub use link::{Link, LinkError, LinkInfo, LinkOptions, PeerCredentials};
pub use secrecy::{TlsError, TlsSetupError};
