//! Anywhere (pure): fields with dotted names as nested objects.
//!
//! Invariants:
//! * No name occurs twice and none is lost: the objects a field is in and its key, joined by dots, are its name.
//! * No key is both a field and an object: if a field, or a key of the format, has the name of an object, the names
//!   that would be inside it keep their dots.
//! * The work is linear in the length of the names, which an attacker may choose.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::keys::JsonKeyNames;
use super::value::{InString, write_value};
use crate::event::{Record, Value};
use crate::format::escape::escape;
use crate::format::reserved;

/// The maximum depth of nested objects. Together with the depth a JSON value may have, it is below the limits of
/// readers.
const MOST_LEVELS: usize = 16;

/// Whether a name has a dot.
pub(super) fn has_dots(record: &Record<'_>) -> bool {
    record.fields().any(|(name, _)| name.contains('.'))
}

/// Writes every field of the record after the keys.
pub(super) fn write(record: &Record<'_>, keys: &JsonKeyNames, out: &mut Vec<u8>) {
    let fields: Vec<_> = record.fields().map(|(name, value)| (own_name(name, record, keys), value)).collect();
    let names = fields.iter().map(|(name, _)| &**name);
    let taken: HashSet<&str> = names.clone().chain(keys.names()).collect();
    let mut tree = ObjectTree::new();
    for (field, name) in names.enumerate() {
        tree.insert(field, name, &taken);
    }
    tree.write_members(ROOT, &fields, true, out);
}

/// The name of a field once the format's keys have theirs.
fn own_name<'a>(name: &'a str, record: &Record<'_>, keys: &JsonKeyNames) -> Cow<'a, str> {
    if keys.is_reserved(name) {
        reserved::rename(name, record, |name| keys.is_reserved(name)).into()
    } else {
        name.into()
    }
}

const ROOT: usize = 0;

struct ObjectTree<'a> {
    nodes: Vec<TreeNode<'a>>,
    /// The objects, by their parent and their key.
    objects: HashMap<(usize, &'a str), usize>,
}

struct TreeNode<'a> {
    key: &'a str,
    /// `None` for an object.
    field: Option<usize>,
    /// In the order of their first fields.
    members: Vec<usize>,
}

impl<'a> ObjectTree<'a> {
    fn new() -> Self {
        ObjectTree { nodes: vec![TreeNode { key: "", field: None, members: Vec::new() }], objects: HashMap::new() }
    }

    fn insert(&mut self, field: usize, name: &'a str, taken: &HashSet<&str>) {
        let (mut object, mut key) = (ROOT, name);
        // An empty key would read as nothing, and some stores refuse it.
        if name.split('.').all(|segment| !segment.is_empty()) {
            for _ in 0..MOST_LEVELS {
                let Some((first, rest)) = key.split_once('.') else { break };
                if taken.contains(&name[..name.len() - rest.len() - 1]) {
                    break;
                }
                object = self.object(object, first);
                key = rest;
            }
        }
        self.add(object, TreeNode { key, field: Some(field), members: Vec::new() });
    }

    fn object(&mut self, parent: usize, key: &'a str) -> usize {
        if let Some(&known) = self.objects.get(&(parent, key)) {
            return known;
        }
        let object = self.add(parent, TreeNode { key, field: None, members: Vec::new() });
        self.objects.insert((parent, key), object);
        object
    }

    fn add(&mut self, parent: usize, node: TreeNode<'a>) -> usize {
        let index = self.nodes.len();
        self.nodes.push(node);
        self.nodes[parent].members.push(index);
        index
    }

    /// Recurses as deep as the objects are nested.
    fn write_members(&self, object: usize, fields: &[(Cow<'_, str>, Value<'_>)], mut behind: bool, out: &mut Vec<u8>) {
        for &member in &self.nodes[object].members {
            if behind {
                out.push(b',');
            }
            behind = true;
            let TreeNode { key, field, .. } = &self.nodes[member];
            out.push(b'"');
            escape::<InString>(key, out);
            out.extend_from_slice(b"\":");
            match field {
                Some(field) => write_value(fields[*field].1, out),
                None => {
                    out.push(b'{');
                    self.write_members(member, fields, false, out);
                    out.push(b'}');
                }
            }
        }
    }
}
