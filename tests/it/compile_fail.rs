//! What does not compile, and what the compiler says: its words are part of the surface.

#[test]
fn malformed_calls_do_not_compile_and_say_why() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    #[cfg(not(feature = "serde"))]
    cases.compile_fail("tests/ui/lean/*.rs");
}
