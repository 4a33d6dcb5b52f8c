//! What the attribute refuses, and what it says then.

#[test]
fn the_attribute_says_what_is_wrong() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
