//! Results as charts, one SVG file each.

mod latency;
mod svg;
mod threads;
mod throughput;

use std::fs;

use crate::arguments::Arguments;
use crate::machine::Machine;
use crate::peers::Error;
use crate::results::Results;

/// Draws what was measured, and says which files that made.
pub fn all(arguments: &Arguments, machine: &Machine, results: &Results) -> Result<String, Error> {
    let subtitle = format!(
        "{}, {} cores, {}; {} run, {} rounds",
        machine.cpu,
        machine.cores,
        machine.kernel,
        arguments.effort.name(),
        arguments.rounds
    );
    let drawings = [
        ("latency.svg", latency::draw(results, &subtitle)),
        ("threads.svg", threads::draw(results, &subtitle)),
        ("throughput.svg", throughput::draw(results, &subtitle)),
    ];
    let mut names = String::new();
    for (name, drawing) in drawings {
        if let Some(drawing) = drawing {
            fs::write(arguments.out.join(name), drawing)?;
            names.extend([", ", name]);
        }
    }
    Ok(names)
}
