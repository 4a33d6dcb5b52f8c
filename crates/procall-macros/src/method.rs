//! One method of the trait.

use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Block, Error, Expr, ExprLit, FnArg, Ident, Lit, Meta, Pat, ReceiverKind, Result,
    ReturnType, Safety, Signature, Token, TraitItemFn, Type,
};

use crate::name;
use crate::options::MethodOptions;
use crate::types::{self, Output};

/// Arguments of one call; as many as serde makes tuples of.
const MAX_PARAMETERS: usize = 16;
/// Names that the service or its client needs for itself.
const TAKEN: [&str; 2] = ["into_service", "new"];

/// A method of a service.
pub(crate) struct Method {
    /// All attributes but `#[method]`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) ident: Ident,
    pub(crate) is_async: bool,
    pub(crate) inputs: Punctuated<FnArg, Token![,]>,
    pub(crate) output: ReturnType,
    pub(crate) default: Option<Block>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) result: Output,
    /// The name it is called by, without the service's.
    pub(crate) name: String,
    pub(crate) idempotent: bool,
    pub(crate) blocking: bool,
    /// Names of errors of its own.
    pub(crate) errors: Vec<String>,
}

/// One parameter, in the order of the trait.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// Comes with the call.
    Value(Type),
    /// The stream the caller sends, by the type of its items.
    Items(Type),
    Context,
}

impl Method {
    pub(crate) fn parse(mut item: TraitItemFn) -> Result<Self> {
        let options = MethodOptions::take(&mut item.attrs)?;
        let TraitItemFn { attrs, sig, default, .. } = item;
        plain_signature(&sig)?;
        let arguments =
            sig.inputs.iter().skip(1).map(Argument::parse).collect::<Result<Vec<_>>>()?;
        let result = Output::of(&sig.output)?;
        let method = Self {
            attributes: attrs,
            name: options.name.unwrap_or_else(|| name::plain(&sig.ident)),
            ident: sig.ident,
            is_async: sig.asyncness.is_some(),
            inputs: sig.inputs,
            output: sig.output,
            default,
            arguments,
            result,
            idempotent: options.idempotent,
            blocking: options.blocking,
            errors: options.errors,
        };
        method.check()?;
        Ok(method)
    }

    fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::new(self.ident.span(), message));
        if TAKEN.contains(&&*name::plain(&self.ident)) {
            return refuse(
                "`new` and `into_service` are made by this attribute; call the function otherwise and name the method with `#[method(name = \"...\")]`",
            );
        }
        if self.values().count() > MAX_PARAMETERS {
            return refuse("a method has at most 16 parameters; put them into a struct");
        }
        let streams: Vec<&Argument> = self
            .arguments
            .iter()
            .filter(|argument| matches!(argument.kind, Kind::Items(_)))
            .collect();
        if let [_, second, ..] = &*streams {
            return Err(Error::new(
                second.ident.span(),
                "a call carries one stream: at most one parameter is a `Stream`",
            ));
        }
        if self.blocking && self.is_async {
            return refuse("an async method must not block: `blocking` is for plain functions");
        }
        if self.blocking && self.result.item.is_some() {
            return refuse(
                "a method that returns a stream cannot be `blocking`: make it async, or block inside the stream's own tasks",
            );
        }
        if !streams.is_empty() && !self.is_async && !self.blocking && self.result.item.is_none() {
            return refuse(
                "a plain function runs on the thread that reads the link, where no stream can be read: make it async, or `#[method(blocking)]`",
            );
        }
        Ok(())
    }

    /// The parameters that come with the call.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.arguments.iter().filter_map(|argument| match &argument.kind {
            Kind::Value(ty) => Some((&argument.ident, ty)),
            Kind::Items(_) | Kind::Context => None,
        })
    }

    /// The item of the stream that the caller sends.
    pub(crate) fn items_in(&self) -> Option<&Type> {
        self.arguments.iter().find_map(|argument| match &argument.kind {
            Kind::Items(item) => Some(item),
            Kind::Value(_) | Kind::Context => None,
        })
    }

    pub(crate) fn description(&self) -> String {
        description(&self.attributes)
    }

    /// The attributes that what is generated for this method shares.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
    }
}

impl Argument {
    fn parse(input: &FnArg) -> Result<Self> {
        let FnArg::Typed(input) = input else {
            return Err(Error::new_spanned(input, "`self` comes first"));
        };
        let ident = match &*input.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => pat.ident.clone(),
            pat => {
                return Err(Error::new_spanned(
                    pat,
                    "a parameter has a name, because callers may send it by name",
                ));
            }
        };
        types::owned(&input.ty)?;
        let kind = if let Some(item) = types::stream_item(&input.ty)? {
            Kind::Items(item.clone())
        } else if types::is_context(&input.ty) {
            Kind::Context
        } else {
            Kind::Value((*input.ty).clone())
        };
        Ok(Self { ident, kind })
    }
}

fn plain_signature(sig: &Signature) -> Result<()> {
    let wants_self =
        "a method of a service takes `&self`: one value serves all calls, so its state is shared";
    match sig.receiver() {
        Some(receiver) => match &receiver.kind {
            ReceiverKind::Reference(_, _, None) => {}
            _ => return Err(Error::new_spanned(receiver, wants_self)),
        },
        None => return Err(Error::new(sig.ident.span(), wants_self)),
    }
    let no_generics =
        "a method of a service has no generics: callers in other processes cannot choose types";
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(&sig.generics, no_generics));
    }
    if let Some(clause) = &sig.generics.where_clause {
        return Err(Error::new_spanned(clause, no_generics));
    }
    let odd =
        sig.constness.map(|token| token.span).or(sig.abi.as_ref().map(Spanned::span)).or(match sig
            .safety
        {
            Safety::Default => None,
            _ => Some(sig.fn_token.span),
        });
    match odd {
        Some(span) => Err(Error::new(span, "a method of a service is a plain or async function")),
        None => Ok(()),
    }
}

/// The text of doc comments.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(doc) = &attribute.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value
        {
            let text = text.value();
            lines.extend(text.lines().map(|line| line.trim().to_owned()));
            if text.is_empty() {
                lines.push(String::new());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}
