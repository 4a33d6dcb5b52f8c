//! The typed client.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Attribute;

use crate::method::{Kind, Method};
use crate::model::Service;

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { visibility, ident, .. } = service;
    let client = format_ident!("{}Client", crate::name::plain(ident));
    let about =
        format!("Calls a [`{ident}`] that is served somewhere else. Clones share the connection.");
    let methods =
        service.methods.iter().map(|method| call(method, &service.full_name(method), visibility));
    let conditions = service.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let conditions_again = conditions.clone();
    quote! {
        #(#conditions)*
        #[doc = #about]
        #[derive(Clone, Debug)]
        #visibility struct #client {
            channel: ::procall::__private::ClientChannel,
        }

        #(#conditions_again)*
        impl #client {
            /// A client on anything that takes calls: a connection, another client, a pool.
            #visibility fn new(channel: &(impl ::procall::AsChannel + ?::core::marker::Sized)) -> Self {
                Self { channel: ::procall::__private::ClientChannel::new(channel) }
            }

            #(#methods)*
        }
    }
}

fn call(method: &Method, name: &str, visibility: &syn::Visibility) -> TokenStream {
    let ident = &method.ident;
    let attributes = method.attributes.iter().filter(|attribute| is_shared(attribute));
    let parameters = method.arguments.iter().filter_map(|argument| {
        let name = &argument.ident;
        match &argument.kind {
            Kind::Value(ty) => Some(quote!(#name: #ty)),
            Kind::Items(item) => {
                Some(quote!(#name: impl ::core::convert::Into<::procall::Stream<#item>>))
            }
            Kind::Context => None,
        }
    });
    let values: Vec<_> = method.values().map(|(name, _)| name).collect();
    let params = if values.is_empty() { quote!(()) } else { quote!((#(#values,)*)) };
    let items = method.arguments.iter().find_map(|argument| match &argument.kind {
        Kind::Items(item) => {
            let name = &argument.ident;
            Some(quote!(.items::<#item>(#name)))
        }
        Kind::Value(_) | Kind::Context => None,
    });
    let idempotent = method.idempotent.then(|| quote!(.idempotent()));
    let call = match &method.result.item {
        Some(item) => quote!(::procall::StreamCall<#item>),
        None => {
            let value = &method.result.value;
            quote!(::procall::Call<#value>)
        }
    };
    quote! {
        #(#attributes)*
        #visibility fn #ident(&self, #(#parameters),*) -> #call {
            <#call>::new(&self.channel, #name, #params) #items #idempotent
        }
    }
}

/// Whether an attribute of the trait's method also belongs to the client's.
fn is_shared(attribute: &Attribute) -> bool {
    ["doc", "cfg", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
}
