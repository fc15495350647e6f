//! The command line.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, ValueExt as _};

use crate::case::{Case, Effort};
use crate::peers::{self, About, Error};

pub const HELP: &str = "\
logweir against other loggers: same event, same machine, lossless settings, every line counted.

    cargo run --release -- [OPTIONS]

    --short            a look: 2 small rounds, under two minutes (this is the default)
    --full             what may be quoted: 5 rounds, under fifteen minutes
    --rounds N         another number of rounds
    --only A,B         these scenarios only: burst, paced, threads, throughput, shutdown, stall, allocations, arrival,
                       disabled; or one line of them, such as threads/4
    --peers A,B        these peers only; --list names them
    --out FOLDER       where results.json and the plots go (default: results)
    --list             names the peers, their versions and how they are configured
    -h, --help         this
";

pub struct Arguments {
    pub effort: Effort,
    pub rounds: usize,
    pub cases: Vec<Case>,
    pub peers: Vec<&'static About>,
    pub out: PathBuf,
    pub instead: Option<Instead>,
}

/// What to do instead of measuring.
pub enum Instead {
    Help,
    List,
}

impl Arguments {
    pub fn parse() -> Result<Self, Error> {
        let mut arguments = Arguments {
            effort: Effort::Short,
            rounds: 0,
            cases: Case::all(),
            peers: peers::ALL.iter().collect(),
            out: PathBuf::from("results"),
            instead: None,
        };
        let mut rounds = None;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("short") => arguments.effort = Effort::Short,
                Long("full") => arguments.effort = Effort::Full,
                Long("rounds") => rounds = Some(parser.value()?.parse()?),
                Long("only") => arguments.cases = cases(&parser.value()?.string()?)?,
                Long("peers") => arguments.peers = chosen(&parser.value()?.string()?)?,
                Long("out") => arguments.out = parser.value()?.into(),
                Long("list") => arguments.instead = Some(Instead::List),
                Short('h') | Long("help") => arguments.instead = Some(Instead::Help),
                other => return Err(format!("{}; see --help", other.unexpected()).into()),
            }
        }
        arguments.rounds = rounds.unwrap_or(arguments.effort.rounds());
        if arguments.rounds == 0 {
            return Err("--rounds is at least 1".into());
        }
        Ok(arguments)
    }
}

fn cases(names: &str) -> Result<Vec<Case>, Error> {
    let is = |case: &Case, name: &str| case.scenario() == name || case.to_string() == name;
    if let Some(unknown) = names.split(',').find(|name| !Case::all().iter().any(|case| is(case, name))) {
        return Err(format!("there is no scenario {unknown:?}; see --help").into());
    }
    Ok(Case::all().into_iter().filter(|case| names.split(',').any(|name| is(case, name))).collect())
}

fn chosen(names: &str) -> Result<Vec<&'static About>, Error> {
    if let Some(unknown) = names.split(',').find(|name| !peers::ALL.iter().any(|about| about.name == *name)) {
        return Err(format!("there is no peer {unknown:?}; see --list").into());
    }
    Ok(peers::ALL.iter().filter(|about| names.split(',').any(|name| about.name == name)).collect())
}
