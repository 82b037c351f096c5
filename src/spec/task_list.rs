//! The parameters of a queue's tasks.

use serde::{Deserialize, Serialize};

/// The parameters of the tasks of a queue: one JSON value each, kept as compact text, so that a million
/// tasks cost their text and eight bytes each.
///
/// In JSON and TOML it is a list of values; on the wire it is one string, a line a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskList {
    lines: String,
    ends: Vec<usize>,
}

impl TaskList {
    /// Makes a list of values.
    #[must_use]
    pub fn new<'v>(values: impl IntoIterator<Item = &'v serde_json::Value>) -> Self {
        let mut list = Self::default();
        for value in values {
            list.push_line(&value.to_string());
        }
        list
    }

    /// Reads newline-delimited JSON; empty lines do not count.
    ///
    /// # Errors
    /// When a line is not JSON: its number, from 1, and what is wrong with it.
    pub fn from_ndjson(text: &str) -> Result<Self, TaskListError> {
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let parsed: Result<&serde_json::value::RawValue, _> = serde_json::from_str(line);
            let value = parsed.map_err(|source| TaskListError {
                line: number + 1,
                source,
            })?;
            list.push_line(value.get());
        }
        Ok(list)
    }

    fn push_line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.ends.push(self.lines.len());
        self.lines.push('\n');
    }

    /// Returns the number of tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the parameters of a task as JSON text.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)? + 1,
            None => 0,
        };
        self.lines.get(start..end)
    }
}

/// Says which line of a task file is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not JSON")]
pub struct TaskListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    source: serde_json::Error,
}

impl Serialize for TaskList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&self.lines);
        }
        let value = |line| {
            serde_json::from_str::<serde_json::Value>(line).map_err(serde::ser::Error::custom)
        };
        let values: Result<Vec<_>, _> = self.lines.lines().map(value).collect();
        values?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TaskList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Behind a tagged enum nobody knows any more whether the format was for people, so both forms
        // are read anywhere.
        deserializer.deserialize_any(TaskListVisitor)
    }
}

struct TaskListVisitor;

impl<'de> serde::de::Visitor<'de> for TaskListVisitor {
    type Value = TaskList;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of the tasks' parameters")
    }

    fn visit_str<E: serde::de::Error>(self, lines: &str) -> Result<TaskList, E> {
        self.visit_string(lines.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, lines: String) -> Result<TaskList, E> {
        let ends = lines.match_indices('\n').map(|(at, _)| at).collect();
        Ok(TaskList { lines, ends })
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut values: A) -> Result<TaskList, A::Error> {
        let mut list = TaskList::default();
        while let Some(value) = values.next_element::<serde_json::Value>()? {
            list.push_line(&value.to_string());
        }
        Ok(list)
    }
}
