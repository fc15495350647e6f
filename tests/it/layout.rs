//! The layout of `src`: which room may import which, and what every file begins with.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the top to the bottom; a room imports from the rows below its own only.
const ROWS: [&[&str]; 14] = [
    &["docs"],
    &["config", "testing"],
    &["builder", "bridge", "lifecycle"],
    &["logger", "admin"],
    &["runtime"],
    &["dispatch"],
    &["pipeline"],
    &["observe"],
    &["http", "spool"],
    &["queue", "sink"],
    &["stats"],
    &["context", "filter", "macros"],
    &["format"],
    &["event", "fs", "time"],
];

/// The longest file, without its tests. `.ci/exceptions.txt` lists the files that are still longer (`size PATH LINES`).
const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `src`, by its path from there.
fn sources() -> BTreeMap<PathBuf, String> {
    let src = root().join("src");
    let (mut folders, mut files) = (vec![src.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.insert(path.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// The row of a room, counted from the top.
fn row(room: &str) -> Option<usize> {
    ROWS.iter().position(|rooms| rooms.contains(&room))
}

/// The first folder of a path: its room. None for `lib.rs`.
fn room(path: &Path) -> Option<&str> {
    let mut parts = path.components();
    let first = parts.next().unwrap().as_os_str().to_str().unwrap();
    parts.next().map(|_| first)
}

/// Whether a file holds tests alone: they may use the whole crate.
fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// A file without its inline tests, its comments and what only the documentation needs.
fn code(source: &str) -> String {
    let end = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    let mut skip = false;
    let mut code = String::new();
    for line in source[..end].lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        if !skip {
            code.push_str(line.split(" // ").next().unwrap());
            code.push('\n');
        }
        // The next item, up to its end.
        skip = trimmed == "#[cfg(doc)]" || skip && !trimmed.ends_with(';');
    }
    code
}

/// What a file imports from the crate's root: `crate::queue::Queue` gives `queue`, `crate::{Logger, event}` both names.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (position, _) in code.match_indices("crate::") {
        let rest = &code[position + "crate::".len()..];
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        match rest.strip_prefix('{') {
            None => {
                let name: String = rest.chars().take_while(is_name).collect();
                let is_macro = rest[name.len()..].starts_with('!');
                names.insert(if is_macro { "macros".to_owned() } else { name });
            }
            Some(list) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in list.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.insert(std::mem::take(&mut name));
                        }
                        c if depth == 0 && !c.is_whitespace() => name.push(c),
                        _ => {}
                    }
                }
                names.insert(name);
            }
        }
    }
    names.into_iter().map(|name| name.split("::").next().unwrap().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Why a file may not import this name, if it may not.
fn objection(path: &Path, name: &str) -> Option<String> {
    let from = room(path)?;
    let path = path.display();
    match row(name) {
        _ if name == from => None,
        Some(below) if below > row(from).unwrap() => None,
        Some(_) => Some(format!("{path} imports `{name}`, which is not in a row below `{from}`")),
        // The macros' own names: `$crate::Level`, `$crate::__private`.
        None if from == "macros" => None,
        None => {
            Some(format!("{path} imports `crate::{name}`, which is in no room: import it from where it is defined"))
        }
    }
}

#[test]
fn no_room_imports_a_room_beside_or_above_it() {
    let mut objections = Vec::new();
    for (path, source) in sources() {
        if !is_test(&path) {
            objections.extend(imports(&code(&source)).iter().filter_map(|name| objection(&path, name)));
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn an_upward_import_is_found_wherever_it_is_written() {
    let names = |source: &str| imports(&code(source)).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::queue::{Lane, Queue};\n"), ["queue"]);
    assert_eq!(names("use crate::{\n    event::{Event, Level},\n    logger,\n};\n"), ["event", "logger"]);
    assert_eq!(
        names("fn f() { crate::runtime::run(crate::new_event!(level, \"x\")) } // crate::docs\n"),
        ["macros", "runtime"]
    );
    assert_eq!(names("#[cfg(doc)]\nuse crate::{\n    Logger,\n};\nuse crate::time::clock;\n"), ["time"]);
    assert_eq!(
        names("/// [`Builder`](crate::Builder)\n#[cfg(test)]\nmod tests {\n    use crate::config::Config;\n}"),
        [""; 0]
    );
    let objects = |path: &str, name: &str| objection(Path::new(path), name).is_some();
    assert!(
        objects("sink/file/mod.rs", "pipeline")
            && objects("sink/mod.rs", "queue")
            && objects("queue/lane.rs", "Logger")
    );
    assert!(
        !objects("sink/file/mod.rs", "sink") && !objects("builder/start.rs", "queue") && !objects("lib.rs", "logger")
    );
}

#[test]
fn every_file_is_in_a_room_and_every_room_in_a_row() {
    for path in sources().keys() {
        match room(path) {
            None => assert_eq!(path, Path::new("lib.rs"), "a loose file"),
            Some(room) => assert!(row(room).is_some(), "{room} is in no row"),
        }
    }
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for rooms in ROWS {
        for room in rooms {
            assert!(lib.contains(&format!("mod {room};\n")), "{room} is not declared in lib.rs");
        }
    }
}

/// How a file's first line begins: where its code runs.
const PLACES: [&str; 13] = [
    "The caller's thread",
    "Any thread",
    "Anywhere (pure)",
    "At compile time",
    "The flush task",
    "A sink task",
    "A spool task",
    "A spool's thread",
    "A sink's thread",
    "The logger's thread",
    "A service thread",
    "A test's thread",
    "Documentation only",
];

#[test]
fn the_first_line_of_every_file_says_where_it_runs() {
    for (path, source) in sources() {
        if is_test(&path) || path == Path::new("lib.rs") {
            continue;
        }
        let first = source.lines().next().unwrap_or_default();
        let says = first.strip_prefix("//! ").is_some_and(|text| PLACES.iter().any(|place| text.starts_with(place)));
        assert!(says, "{}: `{first}`", path.display());
    }
}

/// What `.ci/exceptions.txt` allows a file under a rule.
fn exceptions(rule: &str) -> BTreeMap<PathBuf, usize> {
    let text = fs::read_to_string(root().join(".ci/exceptions.txt")).unwrap_or_default();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = text.lines().map(fields).filter(|fields| fields.first().is_some_and(|first| first == rule));
    lines.map(|fields| (PathBuf::from(&fields[1]), fields[2].parse().unwrap())).collect()
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let exceptions = exceptions("size");
    for (path, source) in sources() {
        if is_test(&path) {
            continue;
        }
        let lines = source.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
        let most = exceptions.get(&Path::new("src").join(&path)).copied().unwrap_or(MAX_LINES);
        assert!(lines <= most, "{} has {lines} lines, of at most {most}", path.display());
    }
}

/// The types that a file's code defines, by name.
fn types(code: &str) -> Vec<&str> {
    let defines = |line: &'_ str| -> Option<usize> {
        let rest = line.trim_start_matches("pub").trim_start();
        let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")).map_or(rest, |(_, rest)| rest);
        let (word, name) = rest.split_once(' ')?;
        ["struct", "enum", "trait", "type"].contains(&word).then(|| line.len() - name.len())
    };
    // A type of a block or a trait's own is indented.
    let lines = code.lines().filter(|line| !line.starts_with(' '));
    let names = lines.filter_map(|line| defines(line).map(|start| &line[start..]));
    names.map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()).collect()
}

/// Rooms that keep their names until they are rebuilt are in `.ci/exceptions.txt` (`names PATH 1`).
#[test]
fn no_name_is_that_of_two_types() {
    let exceptions = exceptions("names");
    let mut files: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, source) in sources() {
        if is_test(&path) || exceptions.keys().any(|room| Path::new("src").join(&path).starts_with(room)) {
            continue;
        }
        for name in types(&code(&source)) {
            files.entry(name.to_owned()).or_default().insert(path.clone());
        }
    }
    assert!(files.len() > 200, "the types are found: {}", files.len());
    let twice: Vec<_> = files.iter().filter(|(_, paths)| paths.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
    for room in exceptions.keys() {
        assert!(root().join(room).exists(), "an exception for a room that does not exist: {}", room.display());
    }
}

#[test]
fn a_type_is_found_whatever_its_visibility() {
    let source = "pub struct A(u8);\npub(crate) enum B<T> {}\npub(in crate::x) trait C {\n    type Item;\n}\ntype D = u8;\nfn e() {}\n";
    assert_eq!(types(source), ["A", "B", "C", "D"]);
}
