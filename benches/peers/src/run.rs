//! The order of the runs: round by round, in each every case, in each every peer, beginning with another peer each time,
//! so that what disturbs the machine for a while disturbs them alike.

use std::io::{IsTerminal, Write as _};

use std::time::Instant;

use crate::arguments::Arguments;
use crate::case::Case;
use crate::child;
use crate::peers::{About, Error};
use crate::results::{Line, Results};

pub fn run(arguments: &Arguments) -> Result<Results, Error> {
    let mut results = Results(arguments.cases.iter().map(|case| (*case, lines(*case, &arguments.peers))).collect());
    // Next to the program: that is on a disk, which the folder for temporary files need not be.
    let beside = std::env::current_exe()?;
    let temporary =
        tempfile::Builder::new().prefix("peers-").tempdir_in(beside.parent().ok_or("a program nowhere")?)?;
    let mut progress = Progress::new(total(&results, arguments));
    for round in 0..arguments.rounds {
        for (case, lines) in results.0.iter_mut().filter(|(case, _)| arguments.effort.runs(*case, round)) {
            let count = lines.len().max(1);
            lines.rotate_left(round % count);
            for line in lines.iter_mut().filter(|line| line.excluded.is_none()) {
                progress.at(round, arguments.rounds, *case, line.about);
                line.add(child::ask(line.about, *case, arguments.effort, temporary.path()));
            }
            lines.rotate_right(round % count);
        }
    }
    progress.end();
    warn(&results);
    temporary.close()?;
    Ok(results)
}

fn lines(case: Case, peers: &[&'static About]) -> Vec<Line> {
    let concerned = peers.iter().filter(|about| case.concerns(about));
    concerned.map(|about| Line::new(about, case.excludes(about))).collect()
}

fn total(results: &Results, arguments: &Arguments) -> usize {
    let rounds = |case| (0..arguments.rounds).filter(|round| arguments.effort.runs(case, *round)).count();
    let of = |lines: &[Line]| lines.iter().filter(|line| line.excluded.is_none()).count();
    results.0.iter().map(|(case, lines)| rounds(*case) * of(lines)).sum()
}

/// Of what did not work, at once and in full; the tables only say that it failed.
fn warn(results: &Results) {
    for (case, lines) in &results.0 {
        for line in lines {
            line.failures.iter().for_each(|failure| eprintln!("failed: {} in {case}: {failure}", line.about.name));
        }
    }
}

/// Where it is, on stderr: one line that is written over on a terminal, a line for each case elsewhere.
struct Progress {
    started: Instant,
    done: usize,
    total: usize,
    terminal: bool,
    said: Option<(usize, Case)>,
}

impl Progress {
    fn new(total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Progress { started: Instant::now(), done: 0, total, terminal, said: None }
    }

    fn at(&mut self, round: usize, rounds: usize, case: Case, about: &About) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let place =
            format!("[{:>3}/{}] {elapsed:>3.0} s, round {} of {rounds}, {case}", self.done + 1, self.total, round + 1);
        if self.terminal {
            eprint!("\r{place}, {}\x1b[K", about.name);
            // A progress line that cannot be written is no reason to stop.
            drop(std::io::stderr().flush());
        } else if self.said != Some((round, case)) {
            eprintln!("{place}");
        }
        self.said = Some((round, case));
        self.done += 1;
    }

    fn end(&self) {
        let ending = format!("{} runs in {:.0} s", self.done, self.started.elapsed().as_secs_f64());
        match self.terminal {
            true => eprintln!("\r{ending}\x1b[K"),
            false => eprintln!("{ending}"),
        }
    }
}
