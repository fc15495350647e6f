//! Anywhere (pure): the hash of a message template.

/// The hash Serilog writes as `@i`: Bob Jenkins's one-at-a-time over the template's UTF-16 code units. So one template
/// has one hash, whether Serilog or this crate logged it.
pub(super) fn event_id(template: &str) -> u32 {
    let mixed = template.encode_utf16().fold(0_u32, |hash, unit| {
        let hash = hash.wrapping_add(unit.into());
        let hash = hash.wrapping_add(hash << 10);
        hash ^ (hash >> 6)
    });
    let hash = mixed.wrapping_add(mixed << 3);
    let hash = hash ^ (hash >> 11);
    hash.wrapping_add(hash << 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_the_number_that_serilog_gives_it() {
        // The first event of every ASP.NET Core service that logs by `RenderedCompactJsonFormatter`.
        assert_eq!(event_id("Application started. Press Ctrl+C to shut down."), 0xDCAE_FE54);
        assert_eq!(event_id("Now listening on: {address}"), 0xD826_F4B8);
        assert_eq!(event_id("Hosting environment: {envName}"), 0xC330_7C92);
    }

    #[test]
    fn the_hash_is_the_published_one_and_runs_over_utf_16() {
        // The test vectors of <https://en.wikipedia.org/wiki/Jenkins_hash_function>.
        assert_eq!(event_id("a"), 0xCA2E_9442);
        assert_eq!(event_id("The quick brown fox jumps over the lazy dog"), 0x519E_91F5);
        assert_eq!(event_id(""), 0);
        // One unit of 0xE9; then two, 0xD83D and 0xDE00.
        assert_eq!(event_id("é"), 0x7D4B_7A55);
        assert_eq!(event_id("😀"), 0x5C28_937A);
    }
}
