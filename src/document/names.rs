//! What may be a name: it stands in tables, names files and folders, and comes into other programs' sheets.

use crate::output::is_order;

/// The most letters of a name.
const LONGEST: usize = 100;

/// What is wrong with a name, if anything: the rest of the sentence.
pub fn name_complaint(name: &str) -> Option<String> {
    let bad = name.chars().find(|letter| is_order(*letter) || matches!(letter, '/' | '\\'));
    let what = match (bad, name.chars().next()) {
        (_, None) => "is empty".to_owned(),
        (Some(bad), _) => format!("holds the character {bad:?}"),
        (_, Some(first @ ('.' | '=' | '+' | '-' | '@'))) => format!("begins with `{first}`"),
        _ if name.trim() != name => "begins or ends with a space".to_owned(),
        _ if LONGEST < name.chars().count() => format!("is longer than {LONGEST} letters"),
        _ => return None,
    };
    Some(format!("{what}: it names files and stands in tables, so use letters, digits and dashes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_said() {
        for good in ["a", "digits-electrical", "µ-Ring 3", "日本"] {
            assert_eq!(name_complaint(good), None, "{good}");
        }
        let long = "x".repeat(101);
        for bad in ["", "../x", ".x", "a\u{1b}[2J", "a\nb", "a\u{202e}b", "=1+1", "@x", "-x", " x", "a\\b", &long] {
            assert!(name_complaint(bad).is_some_and(|text| text.contains("names files")), "{bad:?}");
        }
    }
}
