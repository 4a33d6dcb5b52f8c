//! Small pieces of text work that several generators share.

/// Breaks `text` at spaces into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `DEADLINE_EXCEEDED` becomes `DeadlineExceeded`.
pub(crate) fn camel_case(screaming: &str) -> String {
    let mut camel = String::new();
    for word in screaming.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(first);
        camel.push_str(&rest.to_ascii_lowercase());
    }
    camel
}

/// `text` as a double-quoted literal; its escapes mean the same in Rust, Python and TypeScript.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_keeps_long_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a incomprehensible b", 5), ["a", "incomprehensible", "b"]);
    }

    #[test]
    fn turns_screaming_case_into_camel_case() {
        assert_eq!(camel_case("DEADLINE_EXCEEDED"), "DeadlineExceeded");
        assert_eq!(camel_case("POISON"), "Poison");
    }

    #[test]
    fn escapes_quotes_and_backslashes() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
