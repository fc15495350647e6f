//! What it was measured on.

use std::fs;
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::stats::Samples;

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: Option<u64>,
    pub kernel: String,
    pub rustc: &'static str,
    /// What reading the clock twice takes, which every timed call includes.
    pub clock_pair_ns: u64,
}

impl Machine {
    pub fn here() -> Self {
        Machine {
            cpu: entry("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism().map_or(1, Into::into),
            memory_gib: memory_gib(),
            kernel: kernel(),
            rustc: env!("BUILT_WITH"),
            clock_pair_ns: clock_pair_ns(),
        }
    }

    pub fn line(&self) -> String {
        let memory = self.memory_gib.map_or(String::new(), |gib| format!(", {gib} GiB"));
        format!("{}, {} cores{memory}, {}, {}", self.cpu, self.cores, self.kernel, self.rustc)
    }
}

fn entry(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> Option<u64> {
    let kib: u64 = entry("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse().ok()?;
    Some(kib.div_ceil(1 << 20))
}

fn kernel() -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok();
    match (read("ostype"), read("osrelease")) {
        (Some(system), Some(release)) => format!("{} {}", system.trim(), release.trim()),
        _ => std::env::consts::OS.to_owned(),
    }
}

fn clock_pair_ns() -> u64 {
    let pairs = (0..100_001).map(|_| {
        let started = Instant::now();
        started.elapsed().as_nanos() as u64
    });
    pairs.collect::<Samples>().permille(500).unwrap_or_default()
}
