//! Any thread: the word that was probably meant.

/// Returns the word with the fewest typing errors from `word`, if there are few enough of them. The first of several.
pub(crate) fn nearest<'a, W: AsRef<str>>(word: &str, words: &'a [W]) -> Option<&'a W> {
    let word = word.to_lowercase();
    let by_slips = words.iter().map(|other| (slips(&word, &other.as_ref().to_lowercase()), other));
    let (slips, nearest) = by_slips.min_by_key(|(slips, _)| *slips)?;
    // A third of the letters: `levle` is `level`, but `x` is not `a`.
    (slips * 3 <= word.chars().count()).then_some(nearest)
}

/// The number of letters to add, remove, replace or swap with their neighbor: the "optimal string alignment" distance.
fn slips(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_by_letters_added_left_out_replaced_and_swapped() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("level", "levle", 1),
            ("level", "lvel", 1),
            ("level", "levell", 1),
            ("ab", "cd", 2),
        ] {
            assert_eq!(slips(from, to), expected, "{from} {to}");
            assert_eq!(slips(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn a_word_that_is_near_to_none_gets_no_suggestion() {
        let words = ["level".to_owned(), "flush_interval".to_owned()];
        assert_eq!(nearest("flush_intervall", &words), Some(&words[1]));
        assert_eq!(nearest("LEVEL", &words), Some(&words[0]));
        assert_eq!(nearest("x", &words), None);
        assert_eq!(nearest("", &words), None);
        assert_eq!(nearest::<String>("level", &[]), None);
    }
}
