//! cargo run --example spool --features spool -- inspect spool
//!
//! Looks into the directory of a spool, also while a process uses it: nothing is locked, changed or deleted.
//!
//! ```text
//! spool inspect DIR    what each process has appended for each sink, and what is not settled
//! spool export DIR     the events that are not settled, as JSON lines on standard output
//! spool verify DIR     reads every file; the exit code is 1 if unsettled events are damaged
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its results are for the terminal")]

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use logweir::Format;
use logweir::format::Json;
use logweir::spool::SpoolReader;

const USAGE: &str = "Usage: spool inspect|export|verify DIR";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["inspect", dir] => inspect(dir),
        ["export", dir] => export(dir),
        ["verify", dir] => verify(dir),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("spool: {error}");
        ExitCode::FAILURE
    })
}

fn inspect(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    for folder in SpoolReader::open_all(dir)? {
        let (positions, progress) = (folder.positions(), folder.progress());
        println!("{}: sink `{}`", folder.dir().display(), folder.sink());
        println!("  {} events are not settled, of {} appended", folder.outstanding(), positions.end);
        println!("  settled before {}, and {} ranges behind it", progress.frontier, progress.settled.len());
        for segment in folder.segments() {
            let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
            println!("  {name}: events {:?}, {} bytes", segment.positions, segment.bytes);
        }
    }
    for folder in SpoolReader::unknown(dir)? {
        println!("{}: of another version", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn export(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    let (mut json, mut lines, mut out) = (Json::new(), Vec::new(), io::stdout().lock());
    for mut folder in SpoolReader::open_all(dir)? {
        while let Some(stored) = folder.next_batch()? {
            lines.clear();
            stored.batch.iter().for_each(|record| json.format(&record, &mut lines));
            match out.write_all(&lines) {
                // The reader has enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn verify(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    let mut corrupt = 0;
    for folder in SpoolReader::open_all(dir)? {
        let path = folder.dir().display().to_string();
        let check = folder.verify()?;
        let (records, events, outstanding) = (check.records, check.events, check.outstanding);
        println!("{path}: {records} records, {events} events, {outstanding} of them not settled");
        for range in &check.corrupt {
            println!("{path}: events {range:?} cannot be read");
        }
        corrupt += check.corrupt_events();
    }
    println!("{corrupt} events are corrupt");
    Ok(if corrupt == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
