//! What does a log call cost, how fast do events reach the file, and what is lost: logweir and its peers, side by side.
//!
//!     cargo run --release            a look, under two minutes
//!     cargo run --release -- --full  what may be quoted, under fifteen
//!
//! What is measured, and how to read it, is in `../README.md`.

mod allocations;
mod arguments;
mod case;
mod child;
mod json;
mod lock;
mod machine;
mod peers;
mod plot;
mod report;
mod results;
mod run;
mod scenario;
mod stats;
mod table;
mod targets;

use std::process::ExitCode;

use arguments::{Arguments, Instead};
use machine::Machine;
use peers::Error;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == child::CHILD => child::answer(rest),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Error> {
    let arguments = Arguments::parse()?;
    match arguments.instead {
        Some(Instead::Help) => print!("{}", arguments::HELP),
        Some(Instead::List) => print!("{}", report::list()),
        None => {
            if cfg!(debug_assertions) {
                return Err("this is a debug build, whose figures mean nothing: cargo run --release".into());
            }
            let machine = Machine::here();
            let results = run::run(&arguments)?;
            print!("{}", report::text(&arguments, &machine, &results));
            std::fs::create_dir_all(&arguments.out)?;
            let path = arguments.out.join("results.json");
            std::fs::write(path, json::text(&arguments, &machine, &results)?)?;
            let plots = plot::all(&arguments, &machine, &results)?;
            println!("\nWritten to {}: results.json{plots}", arguments.out.display());
        }
    }
    Ok(())
}
