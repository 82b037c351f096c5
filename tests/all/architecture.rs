//! Reads the `use` lines of `src` against the tables of `ARCHITECTURE.md`: which room may use which, and what
//! a pure room must not know. The page is the truth; this only holds the code to it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

mod source;

type Tested = Result<(), Box<dyn Error>>;

/// Names that mean a clock, a file, a socket, a task, a lock, randomness or an order that hashing makes up.
const NOT_PURE: [&str; 13] = [
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::thread",
    "tokio",
    "HashMap",
    "HashSet",
    "Mutex",
    "RwLock",
    "OnceLock",
    "rand::",
    "rand_core",
];

/// The map of `ARCHITECTURE.md`.
struct Map {
    /// Room → the rooms it may use.
    arrows: BTreeMap<String, BTreeSet<String>>,
    /// The rooms whose row is marked pure.
    pure: BTreeSet<String>,
    /// File → what it may use beyond its room's row: a path below `crate::`, or a name of [`NOT_PURE`].
    exceptions: BTreeMap<String, BTreeSet<String>>,
}

impl Map {
    fn read() -> Result<Self, Box<dyn Error>> {
        let page = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
        let mut map = Self {
            arrows: BTreeMap::new(),
            pure: BTreeSet::new(),
            exceptions: BTreeMap::new(),
        };
        for row in table(&page, "| room | may use | pure |")? {
            let [room, uses, pure] = row.as_slice() else {
                return Err(format!("not three columns: {row:?}").into());
            };
            let room = quoted(room)
                .into_iter()
                .next()
                .ok_or("a row without a room")?;
            if pure == "yes" {
                map.pure.insert(room.clone());
            }
            map.arrows.insert(room, quoted(uses));
        }
        for row in table(&page, "| file | may also use | because |")? {
            let [file, uses, because] = row.as_slice() else {
                return Err(format!("not three columns: {row:?}").into());
            };
            assert!(!because.is_empty(), "the exception {file} states no reason");
            map.exceptions
                .extend(quoted(file).into_iter().map(|file| (file, quoted(uses))));
        }
        Ok(map)
    }

    fn allows(&self, file: &str, path: &str) -> bool {
        let room = room_of(file);
        let target = first_name(path);
        room == target
            || self
                .arrows
                .get(&room)
                .is_some_and(|uses| uses.contains(&target))
            || self
                .exceptions
                .get(file)
                .is_some_and(|uses| uses.iter().any(|allowed| covers(allowed, path)))
    }

    /// Says whether a file must be pure: its room is, or it holds values that pure rooms pass about.
    fn is_pure(&self, file: &str) -> bool {
        self.pure.contains(&room_of(file)) || file == "src/exchange/address.rs"
    }
}

fn covers(allowed: &str, path: &str) -> bool {
    path == allowed
        || path
            .strip_prefix(allowed)
            .is_some_and(|rest| rest.starts_with("::"))
}

fn first_name(path: &str) -> String {
    match path.split("::").next() {
        // An exported macro lives at the root, whichever room wrote it.
        Some("for_samples") => "grid".to_owned(),
        name => name.unwrap_or_default().to_owned(),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the cells of the rows below a table's heading line.
fn table(page: &str, heading: &str) -> Result<Vec<Vec<String>>, String> {
    let lines = page.lines().skip_while(|line| line.trim() != heading);
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    if rows.is_empty() {
        return Err(format!("ARCHITECTURE.md has no table {heading:?}"));
    }
    Ok(rows)
}

/// Returns what stands between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Returns the room of `src/job/event.rs` or `src/spec.rs`.
fn room_of(file: &str) -> String {
    let below = file.trim_start_matches("src/").trim_end_matches(".rs");
    below.split('/').next().unwrap_or_default().to_owned()
}

/// Returns how many modules a file is below the crate's root.
fn depth_of(file: &str) -> usize {
    let below = file.trim_start_matches("src/");
    below.matches('/').count() + usize::from(!below.ends_with("/mod.rs"))
}

/// Returns each shipped file but `lib.rs` with its code, in the order of their paths.
fn shipped_files() -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut sources = BTreeMap::new();
    collect(&root().join("src"), &mut sources)?;
    let test_only: Vec<String> = sources
        .iter()
        .flat_map(|(file, text)| test_files(file, text))
        .collect();
    let shipped = |file: &str| {
        let below = |module: &String| {
            file.strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        file != "src/lib.rs" && !test_only.iter().any(below)
    };
    sources.retain(|file, _| shipped(file));
    Ok(sources
        .into_iter()
        .map(|(file, text)| (file, source::shipped_code(&text)))
        .collect())
}

fn collect(folder: &Path, sources: &mut BTreeMap<String, String>) -> Tested {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root())?
                .to_string_lossy()
                .replace('\\', "/");
            sources.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Returns the paths, without `.rs`, of the modules that a file declares for tests only.
fn test_files(file: &str, text: &str) -> Vec<String> {
    let own = file.trim_end_matches(".rs");
    let folder = own
        .strip_suffix("/mod")
        .or_else(|| own.strip_suffix("/lib"))
        .unwrap_or(own);
    source::test_modules(text)
        .into_iter()
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

#[test]
fn rooms_use_only_what_the_page_allows() -> Tested {
    let map = Map::read()?;
    let files = shipped_files()?;
    let mut checked = 0;
    let mut forbidden = Vec::new();
    for (file, code) in &files {
        for found in source::crate_uses(code, depth_of(file)) {
            checked += 1;
            if !map.allows(file, &found.path) {
                forbidden.push(format!("{file}:{}: crate::{}", found.line, found.path));
            }
        }
    }
    assert!(
        checked > 10,
        "only {checked} uses found in {} files: does the reading still work?",
        files.len()
    );
    assert!(
        forbidden.is_empty(),
        "against the arrows of ARCHITECTURE.md (move the line, or change the page and say why):\n{}",
        forbidden.join("\n")
    );
    Ok(())
}

#[test]
fn pure_rooms_know_no_clock_file_socket_task_lock_or_chance() -> Tested {
    let map = Map::read()?;
    let mut impure = Vec::new();
    for (file, code) in shipped_files()?
        .iter()
        .filter(|(file, _)| map.is_pure(file))
    {
        let allowed = |name: &str| {
            map.exceptions
                .get(file)
                .is_some_and(|uses| uses.contains(name))
        };
        for name in NOT_PURE.into_iter().filter(|name| !allowed(name)) {
            impure.extend(source::names(code, name).map(|line| format!("{file}:{line}: {name}")));
        }
    }
    assert!(
        impure.is_empty(),
        "pure rooms are told, they never ask:\n{}",
        impure.join("\n")
    );
    Ok(())
}

#[test]
fn the_page_lists_exactly_the_rooms_that_exist() -> Tested {
    let map = Map::read()?;
    let exist: BTreeSet<String> = shipped_files()?.keys().map(|file| room_of(file)).collect();
    let listed: BTreeSet<String> = map.arrows.keys().cloned().collect();
    assert_eq!(
        listed, exist,
        "left: rooms of ARCHITECTURE.md, right: rooms of src"
    );
    let unknown: Vec<_> = map
        .arrows
        .values()
        .flatten()
        .filter(|room| !exist.contains(*room))
        .collect();
    assert!(
        unknown.is_empty(),
        "arrows to rooms that do not exist: {unknown:?}"
    );
    let gone: Vec<_> = map
        .exceptions
        .keys()
        .filter(|file| !root().join(file).is_file())
        .collect();
    assert!(
        gone.is_empty(),
        "exceptions for files that do not exist: {gone:?}"
    );
    Ok(())
}

#[test]
fn arrows_never_turn_back() -> Tested {
    let map = Map::read()?;
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < map.arrows.len() {
        let ready =
            |uses: &BTreeSet<String>| uses.iter().all(|room| settled.contains(room.as_str()));
        let next: Vec<&str> = map
            .arrows
            .iter()
            .filter(|(room, uses)| !settled.contains(room.as_str()) && ready(uses))
            .map(|(room, _)| room.as_str())
            .collect();
        let open: Vec<_> = map
            .arrows
            .keys()
            .filter(|room| !settled.contains(room.as_str()))
            .collect();
        assert!(
            !next.is_empty(),
            "the arrows of ARCHITECTURE.md form a circle among {open:?}"
        );
        settled.extend(next);
    }
    Ok(())
}
