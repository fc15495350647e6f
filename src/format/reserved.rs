//! Anywhere (pure): the key of a field whose name the format reserves.

use crate::event::Record;

/// Returns the name of a field with as many `_` appended as needed for a name that neither the format nor another field
/// has.
#[cold]
pub(crate) fn rename(name: &str, record: &Record<'_>, is_reserved: impl Fn(&str) -> bool) -> String {
    let base = |name: &str| name.trim_end_matches('_').len();
    let has_field = |name: &str| record.fields().any(|(other, _)| other == name);
    // Fields before this one may have got the name it would get.
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
