//! Just enough Rust reading for the architecture test: what is code, and which rooms a line of it names.

/// Returns the source with comments, string contents and `#[cfg(test)]` items turned into spaces, lines kept.
pub(super) fn shipped_code(source: &str) -> String {
    without_tests(&without_text(source))
}

/// Blanks comments and the contents of strings and character literals.
fn without_text(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = text_end(&chars, at);
        if end > at {
            blank(&chars[at..end], &mut out);
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Returns where the comment or literal that starts at `at` ends, or `at` when none starts there.
fn text_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let after_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => at + block_comment(rest),
        ['"', ..] => at + quoted(rest, '"'),
        ['r', '"' | '#', ..] if !after_word => at + raw_string(rest),
        ['b', 'r', '"' | '#', ..] if !after_word => at + 1 + raw_string(&rest[1..]),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => at + quoted(rest, '\''),
        _ => at,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Returns 0 for `r#name`, which is an identifier.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        let closes = rest[at] == '"'
            && rest[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes;
        at += 1;
        if closes {
            return at + hashes;
        }
    }
    rest.len()
}

fn blank(chars: &[char], out: &mut String) {
    out.extend(chars.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
}

/// Blanks each item under `#[cfg(test)]`: up to its closing brace, or its semicolon when it has no body.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(TEST_ONLY) {
        let (before, item) = rest.split_at(at);
        let (item, after) = item.split_at(item_end(item));
        out.push_str(before);
        out.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out + rest
}

const TEST_ONLY: &str = "#[cfg(test)]";

fn item_end(item: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Returns the names of the files' modules that are declared `#[cfg(test)] mod name;`.
pub(super) fn test_modules(source: &str) -> Vec<String> {
    let code = without_text(source);
    let items = code
        .split(TEST_ONLY)
        .skip(1)
        .map(|item| &item[..item_end(item)]);
    let declared = items.filter_map(|item| item.strip_suffix(';')?.split_once("mod "));
    declared.map(|(_, name)| name.trim().to_owned()).collect()
}

/// Names something that a line takes from the root of the crate, such as `exchange::PartitionAddress`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The line, from 1.
    pub(super) line: usize,
    /// The path below `crate::`, without spaces.
    pub(super) path: String,
}

/// Lists what code takes from the crate's root, through `crate::` or as many `super::` as lead there.
///
/// `depth` is the number of modules the file is below the root: 1 for `src/spec.rs` and `src/grid/mod.rs`.
pub(super) fn crate_uses(code: &str, depth: usize) -> Vec<Use> {
    let mut uses = Vec::new();
    for (at, end) in roots(code, depth) {
        let line = code[..at].matches('\n').count() + 1;
        let mut paths = Vec::new();
        expand("", &code[end..], &mut paths);
        uses.extend(paths.into_iter().map(|path| Use { line, path }));
    }
    uses
}

/// Returns where each path from the root begins, and where its first name is.
fn roots(code: &str, depth: usize) -> Vec<(usize, usize)> {
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", climb.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| is_word(c) || c == ':') {
                found.push((at, at + root.len()));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Expands `a::{b, c::d}` into `a::b` and `a::c::d`, and returns what follows the tree.
fn expand<'a>(prefix: &str, tree: &'a str, paths: &mut Vec<String>) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let before = rest.len();
            rest = expand(prefix, rest, paths);
            rest = rest
                .find([',', '}'])
                .map_or("", |at| rest[at..].trim_start_matches(','));
            if rest.is_empty() || rest.len() == before {
                return "";
            }
        }
    }
    let name_end = tree.find(|c| !is_word(c) && c != '*').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(name_end);
    let path = format!("{prefix}{name}");
    match rest.trim_start().strip_prefix("::") {
        Some(below) if !below.trim_start().starts_with('<') => {
            expand(&format!("{path}::"), below, paths)
        }
        _ => {
            paths.push(path);
            rest
        }
    }
}

/// Says whether `code` has `name` as a whole word (or path that starts and ends at a word's edge).
pub(super) fn names(code: &str, name: &str) -> Option<usize> {
    let edge = |c: Option<char>| !c.is_some_and(is_word);
    let whole = |at: &usize| {
        let (before, after) = (&code[..*at], &code[at + name.len()..]);
        edge(before.chars().next_back()) && (name.ends_with(':') || edge(after.chars().next()))
    };
    let at = code.match_indices(name).map(|(at, _)| at).find(whole)?;
    Some(code[..at].matches('\n').count() + 1)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn text_and_tests_are_not_code() {
    let source = "let a = \"tokio\"; // HashMap\nlet b = '\"'; /* Mutex */ let c: &'static str = r#\"rand::\"#;\n\
                  #[cfg(test)]\nmod tests { use crate::io::Reader; }\nuse crate::ids::JobId;";
    let code = shipped_code(source);
    for word in ["tokio", "HashMap", "Mutex", "rand::", "io::"] {
        assert_eq!(names(&code, word), None, "{word} is in {code:?}");
    }
    let uses = crate_uses(&code, 1);
    assert_eq!(
        uses,
        [Use {
            line: 5,
            path: "ids::JobId".to_owned()
        }]
    );
}

#[test]
fn every_way_to_name_a_room_is_found() {
    let paths = |code: &str, depth| -> Vec<String> {
        crate_uses(code, depth)
            .into_iter()
            .map(|found| found.path)
            .collect()
    };
    assert_eq!(
        paths("use crate::{ids::{JobId, TaskId}, io::*};", 1),
        ["ids::JobId", "ids::TaskId", "io::*"]
    );
    assert_eq!(
        paths("fn f() -> crate::wire::Result<crate::ids::JobId> {}", 1),
        ["wire::Result", "ids::JobId"]
    );
    assert_eq!(
        paths("use super::super::broker::Broker; use super::near;", 2),
        ["broker::Broker"]
    );
    assert_eq!(
        paths("use other_crate::io; use some::crate::io;", 1),
        Vec::<String>::new()
    );
}

#[test]
fn words_are_whole() {
    assert_eq!(names("struct Instants; fn instant() {}", "Instant"), None);
    assert_eq!(names("a\nInstant::now()", "Instant"), Some(2));
    assert_eq!(names("use operand::x; strand::y", "rand::"), None);
    assert_eq!(
        test_modules("#[cfg(test)]\nmod tests;\nmod real;"),
        ["tests"]
    );
}
