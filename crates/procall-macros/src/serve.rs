//! The trait itself, and its service.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ReturnType;
use syn::spanned::Spanned;

use crate::method::{Kind, Method};
use crate::model::Service;

pub(crate) fn expand(service: &Service) -> TokenStream {
    let Service { attributes, visibility, ident, supertraits, name, .. } = service;
    let supertraits = supertraits.iter();
    let methods = service.methods.iter().map(declare);
    let registered = service.methods.iter().map(|method| register(method, ident));
    let shared = local("shared");
    let (description, version) = (service.description(), service.version.as_deref().unwrap_or(""));
    quote! {
        #(#attributes)*
        #visibility trait #ident: #(#supertraits +)* ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*

            /// The service whose calls this value serves. All calls share it.
            fn into_service(self) -> ::procall::Service
            where
                Self: ::core::marker::Sized,
            {
                let #shared = ::std::sync::Arc::new(self);
                let service = ::procall::Service::new(#name).version(#version).description(#description);
                #(#registered)*
                // Without methods nobody needs it.
                ::core::mem::drop(#shared);
                service
            }
        }
    }
}

/// A name that no name in the trait can collide with.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The method as the trait has it: `async fn` with its future spelled out, so that it is known to be `Send`.
fn declare(method: &Method) -> TokenStream {
    let Method { attributes, ident, inputs, output, default, .. } = method;
    if !method.is_async {
        let body = match default {
            Some(block) => quote!(#block),
            None => quote!(;),
        };
        return quote!(#(#attributes)* fn #ident(#inputs) #output #body);
    }
    let output = match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let body = match default {
        Some(block) => quote!({ async move #block }),
        None => quote!(;),
    };
    quote! {
        #(#attributes)*
        fn #ident(#inputs) -> impl ::core::future::Future<Output = #output> + ::core::marker::Send #body
    }
}

/// The statement that adds a method to the service.
fn register(method: &Method, service: &syn::Ident) -> TokenStream {
    let Method { ident, idempotent, name, errors, .. } = method;
    let conditions = method.conditions();
    let description = method.description();
    let parameters = method.values().map(|(name, ty)| {
        let name = crate::name::plain(name);
        quote_spanned!(ty.span()=> .parameter::<#ty>(#name))
    });
    let value = method.result.item.as_ref().unwrap_or(&method.result.value);
    let result = quote_spanned!(value.span()=> .result::<#value>());
    let (items_in, items_out) = (method.items_in().is_some(), method.result.item.is_some());
    let (arrival, bound, this) = (local("arrival"), local("bound"), local("this"));
    let shared = local("shared");

    let mut at = 0_usize;
    let decoded = method.arguments.iter().map(|argument| {
        let name = &argument.ident;
        match &argument.kind {
            Kind::Value(ty) => {
                let place = at;
                at += 1;
                quote_spanned!(ty.span()=> let #name: #ty = #bound.argument(#place)?;)
            }
            Kind::Items(item) => {
                quote_spanned!(item.span()=> let #name = #arrival.items::<#item>();)
            }
            Kind::Context => quote!(let #name = #arrival.context();),
        }
    });
    let arguments = method.arguments.iter().map(|argument| &argument.ident);
    let call = quote!(<Self as #service>::#ident(&*#this, #(#arguments),*));
    let answer = answer(method, call);
    quote! {
        #(#conditions)*
        let service = {
            let #shared = ::std::sync::Arc::clone(&#shared);
            ::procall::__private::Method::new(#name, #description)
                #(#parameters)*
                #result
                .shape(#items_in, #items_out)
                .idempotent(#idempotent)
                .errors(&[#(#errors),*])
                .serve(service, move |#arrival: &::procall::Arrival<'_>, #bound: &::procall::Bound<'_>| {
                    #(#decoded)*
                    let #this = ::std::sync::Arc::clone(&#shared);
                    ::core::result::Result::Ok(#answer)
                })
        };
    }
}

/// The expression of an `Answer` from a call of the method.
fn answer(method: &Method, call: TokenStream) -> TokenStream {
    let value = &method.result.value;
    let call = if method.is_async { quote!(#call.await) } else { call };
    let result = if method.result.fallible {
        call
    } else {
        quote!(::core::result::Result::Ok::<#value, ::procall::Error>(#call))
    };
    let stream = method.result.item.is_some();
    match (method.is_async, method.blocking, stream) {
        (true, _, false) => quote!(::procall::__private::future(async move { #result })),
        (true, _, true) => quote!(::procall::__private::stream_future(async move { #result })),
        (false, true, _) => quote!(::procall::__private::blocking(move || #result)),
        (false, false, false) => quote!(::procall::__private::ready(#result)),
        (false, false, true) => quote!(::procall::__private::stream(#result)),
    }
}
