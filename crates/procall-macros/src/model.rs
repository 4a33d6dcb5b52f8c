//! The trait, taken apart and checked.

use proc_macro2::TokenStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Ident, Item, ItemTrait, Result, Token, TraitItem, TypeParamBound, Visibility,
};

use crate::method::{Method, description};
use crate::name;
use crate::options::ServiceOptions;

/// A trait that is a service.
pub(crate) struct Service {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    pub(crate) supertraits: Punctuated<TypeParamBound, Token![+]>,
    pub(crate) methods: Vec<Method>,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

impl Service {
    pub(crate) fn parse(options: TokenStream, item: TokenStream) -> Result<Self> {
        let options = ServiceOptions::parse(options)?;
        let item = match syn::parse2::<Item>(item)? {
            Item::Trait(item) => item,
            other => {
                return Err(Error::new(
                    other.span(),
                    "`#[procall::service]` stands on a trait, whose methods are the service's",
                ));
            }
        };
        let mut errors = Errors::default();
        errors.note(plain_trait(&item));
        let mut methods: Vec<Method> = Vec::new();
        for item in item.items {
            if let Some(method) = errors.note(method(item)) {
                errors.note(distinct(&method, &methods));
                methods.push(method);
            }
        }
        errors.into_result()?;
        Ok(Self {
            attributes: item.attrs,
            visibility: item.vis,
            name: options.name.unwrap_or_else(|| name::snake(&item.ident)),
            version: options.version.map(|version| version.value()),
            ident: item.ident,
            supertraits: item.supertraits,
            methods,
        })
    }

    pub(crate) fn description(&self) -> String {
        description(&self.attributes)
    }

    /// The name a method is called by.
    pub(crate) fn full_name(&self, method: &Method) -> String {
        if method.name.contains('.') {
            method.name.clone()
        } else {
            format!("{}.{}", self.name, method.name)
        }
    }
}

fn plain_trait(item: &ItemTrait) -> Result<()> {
    if !item.generics.params.is_empty() || item.generics.where_clause.is_some() {
        return Err(Error::new_spanned(
            &item.generics,
            "a service has no generics: callers in other processes cannot choose types",
        ));
    }
    match &item.unsafety {
        Some(token) => Err(Error::new(token.span, "a service is a safe trait")),
        None => Ok(()),
    }
}

fn method(item: TraitItem) -> Result<Method> {
    match item {
        TraitItem::Fn(item) => Method::parse(item),
        other => Err(Error::new(
            other.span(),
            "a service has methods only; put constants and types beside the trait",
        )),
    }
}

fn distinct(method: &Method, others: &[Method]) -> Result<()> {
    let twin = others
        .iter()
        .find(|other| other.name == method.name || other.ident == method.ident)
        // Under different conditions only one of the two is there.
        .filter(|other| {
            other.conditions().next().is_none() && method.conditions().next().is_none()
        });
    match twin {
        Some(_) => Err(Error::new(
            method.ident.span(),
            format!("this service has a method `{}` already", method.name),
        )),
        None => Ok(()),
    }
}

/// All errors at once, so that they can all be corrected at once.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &mut self.0) {
            (Ok(value), _) => Some(value),
            (Err(error), Some(errors)) => {
                errors.combine(error);
                None
            }
            (Err(error), none) => {
                *none = Some(error);
                None
            }
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
