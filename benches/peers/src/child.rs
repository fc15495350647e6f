//! One round of one peer in one case is a process of its own: this program again, with other arguments. Several peers can
//! be started only once in a process, and none shall see what another left behind.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::case::{Case, Effort};
use crate::peers::{self, About, Error};
use crate::scenario::{Outcome, Stage};

/// The first argument of a child.
pub const CHILD: &str = "--child";

/// A peer that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// In the child: measures, and prints the outcome as one line of JSON.
pub fn answer(arguments: &[String]) -> Result<(), Error> {
    let [name, case, effort, folder] = arguments else {
        return Err(format!("{CHILD} is for the program itself").into());
    };
    let case = Case::parse(case).ok_or_else(|| format!("there is no case {case}"))?;
    let effort = Effort::parse(effort).ok_or_else(|| format!("there is no effort {effort}"))?;
    let stage = Stage { case, effort, folder: Path::new(folder) };
    let outcome = peers::visit(name, &stage).ok_or_else(|| format!("there is no peer {name}"))??;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// In the parent: runs a child in a folder of its own under `temporary`, and takes its outcome.
pub fn ask(about: &About, case: Case, effort: Effort, temporary: &Path) -> Result<Outcome, Error> {
    let folder = temporary.join("logs");
    let errors = temporary.join("stderr");
    fs::create_dir(&folder)?;
    let said = run(about, case, effort, &folder, &errors);
    fs::remove_dir_all(&folder)?;
    let said = said.map_err(|error| explain(error, &errors))?;
    // A peer may print, too.
    let line = said.lines().rfind(|line| line.starts_with('{')).ok_or("it said nothing")?;
    Ok(serde_json::from_str(line)?)
}

fn run(about: &About, case: Case, effort: Effort, folder: &Path, errors: &Path) -> Result<String, Error> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, about.name, &case.to_string(), effort.name()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(errors)?)
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or("no pipe to the child")?;
    let (sender, said) = mpsc::channel();
    // A thread, so that the wait for the child can end, and nothing has to look every so often.
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        // Nobody listens after the patience is over.
        drop(sender.send(read));
    });
    let Ok(text) = said.recv_timeout(PATIENCE) else {
        child.kill()?;
        child.wait()?;
        return Err(format!("no end after {} s", PATIENCE.as_secs()).into());
    };
    match child.wait()? {
        status if status.success() => Ok(text?),
        status => Err(status.to_string().into()),
    }
}

/// With the last thing it said about it.
fn explain(error: Error, errors: &Path) -> Error {
    let errors = fs::read_to_string(errors).unwrap_or_default();
    match errors.lines().rfind(|line| !line.trim().is_empty()) {
        Some(last) => format!("{error}: {last}").into(),
        None => error,
    }
}
