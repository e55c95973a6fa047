//! The known name that somebody may have meant.

/// The known name with the fewest changes of a letter from `name`, if they are few.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let small = name.to_lowercase();
    let (changes, best) = known.iter().map(|candidate| (distance(&small, candidate), *candidate)).min()?;
    // A third of the letters wrong is a slip; more is another word.
    (changes <= best.len().max(3) / 3).then_some(best)
}

/// Letters to insert, delete or replace until `a` is `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
