//! The contract of [`procall_transport::Link`], bullet by bullet, on every transport.
//!
//! A test is a function of a way to make a pair of links; `on_every_transport!` makes one named test of it per transport.
//! To put another transport under contract, add it there and to `harness`.

/// Makes `mem::…`, `unix_pair::…`, `unix_named::…`, `shm::…`, `tcp::…`, `tls::…` and `own::…` tests of the functions named.
macro_rules! on_every_transport {
    ($($bullet:ident),+ $(,)?) => {
        on_every_transport!(@mem: $($bullet)+);
        on_every_transport!(@unix_pair: $($bullet)+);
        on_every_transport!(@unix_named: $($bullet)+);
        on_every_transport!(@shm: $($bullet)+);
        on_every_transport!(@tcp: $($bullet)+);
        #[cfg(feature = "tls")]
        on_every_transport!(@tls: $($bullet)+);
        on_every_transport!(@own: $($bullet)+);
    };
    (@$transport:ident: $($bullet:ident)+) => {
        mod $transport {
            $(#[test]
            fn $bullet() {
                super::$bullet(crate::harness::$transport);
            })+
        }
    };
}

/// Makes `unix::…`, `tcp::…` and `tls::…` tests of functions that play the peer by hand, byte by byte.
macro_rules! on_every_stream {
    ($($bullet:ident),+ $(,)?) => {
        mod unix {
            $(#[test]
            fn $bullet() {
                super::$bullet(crate::harness::raw_unix);
            })+
        }
        mod tcp {
            $(#[test]
            fn $bullet() {
                super::$bullet(crate::harness::raw_tcp);
            })+
        }
        #[cfg(feature = "tls")]
        mod tls {
            $(#[test]
            fn $bullet() {
                super::$bullet(crate::tls::raw);
            })+
        }
    };
}

// A link that is written against the contract alone, as the example of workers shows it. There these names lie beside it.
use procall_transport as transport;
#[path = "../../../../examples/02-workers/rust/src/link.rs"]
#[allow(unreachable_pub, reason = "there it is a library")]
mod own_link;

mod harness;
#[cfg(feature = "tls")]
#[path = "../tls/support.rs"]
mod tls;

mod bounds;
mod bytes;
mod delivery;
mod ending;
mod readiness;
mod threads;
