//! What types mean, as far as their spelling tells.

use syn::{Error, GenericArgument, PathArguments, Result, ReturnType, Type};

/// What a method returns, taken apart.
pub(crate) struct Output {
    /// The value of a `Result`, or the type itself.
    pub(crate) value: Type,
    pub(crate) fallible: bool,
    /// The item when the value is a stream.
    pub(crate) item: Option<Type>,
}

impl Output {
    pub(crate) fn of(output: &ReturnType) -> Result<Self> {
        let whole = match output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, whole) => (**whole).clone(),
        };
        owned(&whole)?;
        let (value, fallible) = match last(&whole) {
            Some(("Result", arguments)) => match &*arguments {
                [value, _] => ((*value).clone(), true),
                _ => {
                    return Err(Error::new_spanned(
                        &whole,
                        "write `Result<T, E>` with its error type: this attribute cannot look behind an alias",
                    ));
                }
            },
            _ => (whole, false),
        };
        let item = stream_item(&value)?.cloned();
        Ok(Self { value, fallible, item })
    }
}

/// The item of a `Stream<T>`.
pub(crate) fn stream_item(ty: &Type) -> Result<Option<&Type>> {
    match last(ty) {
        Some(("Stream", arguments)) => match &*arguments {
            [item] => Ok(Some(item)),
            _ => {
                Err(Error::new_spanned(ty, "write `procall::Stream<T>` with the type of its items"))
            }
        },
        _ => Ok(None),
    }
}

/// Whether a type is `Context`, under whatever path.
pub(crate) fn is_context(ty: &Type) -> bool {
    matches!(last(ty), Some(("Context", arguments)) if arguments.is_empty())
}

/// A type whose values can come from another process or go there.
pub(crate) fn owned(ty: &Type) -> Result<()> {
    let message = match ty {
        Type::Reference(_) => {
            "values cross processes, so they are owned: `String` instead of `&str`, `Vec<T>` instead of `&[T]`"
        }
        Type::ImplTrait(_) => "a method has types that are spelled out, not `impl Trait`",
        Type::Ptr(_) | Type::FnPtr(_) => "pointers have no meaning in another process",
        Type::TraitObject(_) => "a trait object cannot cross processes",
        _ => return Ok(()),
    };
    Err(Error::new_spanned(ty, message))
}

/// The last part of a path and its type arguments.
fn last(ty: &Type) -> Option<(&'static str, Vec<&Type>)> {
    const KNOWN: [&str; 3] = ["Context", "Result", "Stream"];
    let path = match ty {
        Type::Path(path) if path.qself.is_none() => path,
        Type::Group(group) => return last(&group.elem),
        Type::Paren(paren) => return last(&paren.elem),
        _ => return None,
    };
    let segment = path.path.segments.last()?;
    let name = KNOWN.into_iter().find(|known| segment.ident == known)?;
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    Some((name, arguments))
}
