//! Anywhere a sink formats (pure): what becomes of a field whose name the format uses itself.

use crate::event::Record;

/// The name of a field with as many `_` behind it as make it one that neither the format nor another field has.
#[cold]
pub(super) fn rename(name: &str, record: &Record<'_>, is_reserved: impl Fn(&str) -> bool) -> String {
    let base = |name: &str| name.trim_end_matches('_').len();
    let has_field = |name: &str| record.fields().any(|(other, _)| other == name);
    // Fields before this one may have been given what it would be given.
    let mut given = Vec::new();
    for (other, _) in
        record.fields().filter(|(other, _)| is_reserved(other) && other[..base(other)] == name[..base(name)])
    {
        let mut renamed = format!("{other}_");
        while is_reserved(&renamed) || has_field(&renamed) || given.contains(&renamed) {
            renamed.push('_');
        }
        if other == name {
            return renamed;
        }
        given.push(renamed);
    }
    name.to_owned()
}
