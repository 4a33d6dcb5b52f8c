//! Licence expressions, as in `(MIT OR Apache-2.0) AND Unicode-3.0`.

/// Whether `expression` can be satisfied by licences that `allowed` accepts; `Err` says what cannot be read.
///
/// A licence with an exception is asked for as a whole: `Apache-2.0 WITH LLVM-exception`.
/// The old form `MIT/Apache-2.0` means OR.
pub(crate) fn satisfied(expression: &str, allowed: impl Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let satisfied = parser.any()?;
    match parser.next() {
        None => Ok(satisfied),
        Some(word) => Err(format!("unexpected `{word}`")),
    }
}

struct Parser<'a, F> {
    words: Vec<&'a str>,
    at: usize,
    allowed: F,
}

impl<'a, F: Fn(&str) -> bool> Parser<'a, F> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.words.get(self.at) == Some(&word);
        self.at += usize::from(is_there);
        is_there
    }

    /// `all [OR all]…`; AND binds more strongly.
    fn any(&mut self) -> Result<bool, String> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Ok(satisfied)
    }

    /// `one [AND one]…`
    fn all(&mut self) -> Result<bool, String> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    /// `licence`, `licence WITH exception` or `( any )`.
    fn one(&mut self) -> Result<bool, String> {
        let word = self.next().ok_or("it ends too early")?;
        match word {
            "(" => {
                let satisfied = self.any()?;
                if self.take(")") { Ok(satisfied) } else { Err("a `)` is missing".to_owned()) }
            }
            ")" | "AND" | "OR" | "WITH" => Err(format!("unexpected `{word}`")),
            licence if self.take("WITH") => {
                let exception = self.next().ok_or("it ends after WITH")?;
                Ok((self.allowed)(&format!("{licence} WITH {exception}")))
            }
            licence => Ok((self.allowed)(licence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Result<bool, String> {
        satisfied(expression, |licence| {
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
                .contains(&licence)
        })
    }

    #[test]
    fn one_side_of_or_is_enough() {
        assert_eq!(check("MIT"), Ok(true));
        assert_eq!(check("GPL-3.0 OR MIT"), Ok(true));
        assert_eq!(check("Unlicense/MIT"), Ok(true));
        assert_eq!(check("GPL-3.0 OR MPL-2.0"), Ok(false));
    }

    #[test]
    fn both_sides_of_and_are_needed() {
        assert_eq!(check("(MIT OR GPL-3.0) AND Unicode-3.0"), Ok(true));
        assert_eq!(check("MIT AND GPL-3.0"), Ok(false));
        // AND binds more strongly than OR.
        assert_eq!(check("MIT OR GPL-3.0 AND GPL-2.0"), Ok(true));
        assert_eq!(check("(MIT OR GPL-3.0) AND GPL-2.0"), Ok(false));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert_eq!(check("Apache-2.0 WITH LLVM-exception"), Ok(true));
        assert_eq!(check("MIT WITH LLVM-exception"), Ok(false));
        assert_eq!(check("GPL-2.0 WITH Classpath-exception-2.0 OR MIT"), Ok(true));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for broken in ["", "MIT OR", "(MIT", "MIT)", "AND MIT", "MIT Apache-2.0", "MIT WITH"] {
            assert!(check(broken).is_err(), "{broken}");
        }
    }
}
