//! The options in `#[procall::service(...)]` and `#[method(...)]`.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, LitStr, Result, Token};

use crate::name;

/// What may stand in `#[procall::service(...)]`.
#[derive(Default)]
pub(crate) struct ServiceOptions {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<LitStr>,
}

impl ServiceOptions {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                once(&meta, options.name.is_some())?;
                options.name = Some(name::given(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("version") {
                once(&meta, options.version.is_some())?;
                options.version = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("unknown option; a service has `name` and `version`"));
            }
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(options)
    }
}

/// What may stand in `#[method(...)]`.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) name: Option<String>,
    pub(crate) idempotent: bool,
    pub(crate) blocking: bool,
    /// Names of errors of its own.
    pub(crate) errors: Vec<String>,
}

impl MethodOptions {
    /// Takes the `#[method(...)]` attributes out of `attributes`.
    pub(crate) fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let mut options = Self::default();
        let mut errors: Option<Error> = None;
        attributes.retain(|attribute| {
            if !attribute.path().is_ident("method") {
                return true;
            }
            if let Err(error) = options.read(attribute) {
                match &mut errors {
                    Some(errors) => errors.combine(error),
                    None => errors = Some(error),
                }
            }
            false
        });
        errors.map_or(Ok(options), Err)
    }

    fn read(&mut self, attribute: &Attribute) -> Result<()> {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("idempotent") {
                once(&meta, std::mem::replace(&mut self.idempotent, true))
            } else if meta.path.is_ident("blocking") {
                once(&meta, std::mem::replace(&mut self.blocking, true))
            } else if meta.path.is_ident("name") {
                once(&meta, self.name.is_some())?;
                self.name = Some(name::given(&meta.value()?.parse()?)?);
                Ok(())
            } else if meta.path.is_ident("errors") {
                once(&meta, !self.errors.is_empty())?;
                let names;
                syn::parenthesized!(names in meta.input);
                let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?;
                self.errors = names.iter().map(LitStr::value).collect();
                Ok(())
            } else {
                Err(meta.error(
                    "unknown option; a method has `idempotent`, `blocking`, `name` and `errors`",
                ))
            }
        })
    }
}

fn once(meta: &ParseNestedMeta<'_>, given: bool) -> Result<()> {
    if given { Err(meta.error("this option is given twice")) } else { Ok(()) }
}
