//! Names of services and methods.

use syn::{Error, Ident, LitStr, Result};

/// The name of a trait or function as services are named: `ImageTools` is `image_tools`.
pub(crate) fn snake(ident: &Ident) -> String {
    let text = plain(ident);
    let mut name = String::new();
    let mut before_is_lower = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase()
            && (before_is_lower || (next_is_lower && !name.is_empty() && !name.ends_with('_')))
        {
            name.push('_');
        }
        before_is_lower = !letter.is_uppercase() && letter != '_';
        name.extend(letter.to_lowercase());
    }
    name
}

/// The text of an identifier without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// A name that was given as text: 1 to 255 bytes, no white space, no control characters.
pub(crate) fn given(name: &LitStr) -> Result<String> {
    let text = name.value();
    let fits = !text.is_empty()
        && text.len() <= 255
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if !fits {
        return Err(Error::new(
            name.span(),
            "a name has 1 to 255 bytes, no white space and no control characters",
        ));
    }
    if text == "procall" || text.starts_with("procall.") {
        return Err(Error::new(name.span(), "names that begin with `procall.` are reserved"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traits_become_snake_case() {
        for (ident, name) in [
            ("Calc", "calc"),
            ("ImageTools", "image_tools"),
            ("HTTPProxy", "http_proxy"),
            ("V2Api", "v2_api"),
            ("calc", "calc"),
            ("My_Calc", "my_calc"),
        ] {
            assert_eq!(snake(&Ident::new(ident, proc_macro2::Span::call_site())), name);
        }
    }
}
