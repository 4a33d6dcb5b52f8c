//! The attribute `#[procall::service]`.
//!
//! It contains no behaviour: it writes down what a trait says, and calls into `procall` for everything else.
//! Its documentation, with examples that run, stands where it is used: at `procall::service`.

#![forbid(unsafe_code)]

mod client;
mod method;
mod model;
mod name;
mod options;
mod serve;
mod types;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a service and a typed client from a trait; see `procall::service`.
#[proc_macro_attribute]
pub fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = match model::Service::parse(options.into(), item.into()) {
        Ok(service) => {
            let served = serve::expand(&service);
            let client = client::expand(&service);
            quote!(#served #client)
        }
        Err(error) => error.into_compile_error(),
    };
    expanded.into()
}
