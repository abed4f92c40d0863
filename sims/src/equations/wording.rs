//! How messages say names and numbers.

/// Letters of a name that a message shows.
const SHOWN: usize = 60;

/// `; did you mean …` where a known name is near: the same but for case and doubled letters, or a few letters apart.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let plain = folded(name);
    let near = known
        .filter(|known| *known != name)
        .map(|known| (folded(known) != plain, strsim::damerau_levenshtein(name, known), known))
        .min();
    match near {
        Some((false, _, near)) => format!("; did you mean `{near}`?"),
        Some((true, distance, near)) if distance <= 1 + near.chars().count() / 4 && distance < near.chars().count() => {
            format!("; did you mean `{near}`?")
        }
        _ => String::new(),
    }
}

/// In small letters, each run of one letter being one.
fn folded(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    letters.dedup();
    letters
}

/// A message in which names that nobody can read are cut.
pub(super) fn cut(message: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut text, mut length) = (String::with_capacity(message.len()), 0);
    for letter in message.chars() {
        length = if is_part(letter) { length + 1 } else { 0 };
        match length {
            ..=SHOWN => text.push(letter),
            _ if length == SHOWN + 1 => text.push('…'),
            _ => (),
        }
    }
    text
}

/// A number as people write it: without a row of zeros.
pub(super) fn said(value: f64) -> String {
    if value == 0.0 || (1e-4..1e7).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}

/// `1 index`, `2 indices`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_found() {
        let near = |name: &str| nearest(name, ["v", "R", "drive", "exp"].into_iter());
        for (name, found) in
            [("V", "v"), ("vv", "v"), ("RR", "R"), ("drvie", "drive"), ("Drive", "drive"), ("epx", "exp")]
        {
            assert_eq!(near(name), format!("; did you mean `{found}`?"), "{name}");
        }
        // A name is not offered for itself, nor any letter for any other.
        assert_eq!((near("v"), near("q")), (String::new(), String::new()));
    }

    #[test]
    fn numbers_and_long_names_are_short() {
        assert_eq!([1e-18, 1e30, 0.05, -250.0, 0.0].map(said), ["1e-18", "1e30", "0.05", "-250", "0"]);
        assert_eq!(cut(&format!("unknown name `{}`", "x".repeat(90))), format!("unknown name `{}…`", "x".repeat(60)));
        assert_eq!(cut("`v` is short"), "`v` is short");
        assert_eq!(
            (counted(1, "index", "indices"), counted(0, "index", "indices")),
            ("1 index".into(), "0 indices".into())
        );
    }
}
