//! Which versions were measured: those of the lock file that this was built with.

const LOCK: &str = include_str!("../Cargo.lock");

pub fn version(name: &str) -> &'static str {
    let heading = format!("name = \"{name}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != heading).skip(1);
    lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use crate::peers::ALL;

    #[test]
    fn every_peer_has_a_version() {
        for name in ALL.iter().flat_map(|about| about.crates) {
            assert_ne!(super::version(name), "unknown", "{name}");
        }
    }
}
