//! How deep keys are nested. Tables are read, checked and dropped one within the other, so their depth is bounded before they are read.

/// The most parts that a key may have: `layers.0.width` has three.
pub const DEEPEST: usize = 32;

/// The line of the first key in TOML whose parts are more than there may be, if there is one.
pub fn too_deep(text: &str) -> Option<usize> {
    let (mut line, mut dots, mut rest) = (1, 0, text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => string(rest, first),
            _ => first.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        line += part.matches('\n').count();
        match first {
            '.' => dots += 1,
            '=' | ',' | '[' | ']' | '{' | '}' | '\n' => dots = 0,
            _ => {}
        }
        if DEEPEST <= dots {
            return Some(line);
        }
        rest = after;
    }
    None
}

/// The length of the string that `text` begins with; one that does not end goes to the end of the text, and is refused by the parser.
fn string(text: &str, quote: char) -> usize {
    let triple = [quote; 3].iter().collect::<String>();
    let fence = if text.starts_with(&triple) { &triple[..] } else { &triple[..1] };
    let mut at = fence.len();
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(fence) {
            return at + fence.len();
        }
        if fence.len() == 1 && rest.starts_with('\n') {
            return at;
        }
        let escaped = quote == '"' && rest.starts_with('\\');
        at += rest.chars().take(1 + usize::from(escaped)).map(char::len_utf8).sum::<usize>();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_many_parts_is_found_and_a_sentence_is_not() {
        let deep = format!("x{}", ".x".repeat(DEEPEST));
        assert_eq!(too_deep(&format!("a = 1\n{deep} = 1\n")), Some(2));
        assert_eq!(too_deep(&format!("[{deep}]\n")), Some(1));
        assert_eq!(too_deep(&format!("a = {{ b = 1, {deep} = 1 }}\n")), Some(1));
        let dots = ".".repeat(100);
        for fine in [
            format!("# {dots}\na = 1"),
            format!("a = \"{dots}\\\"{dots}\""),
            format!("a = '{dots}'"),
            format!("a = \"\"\"\n{dots}\n\"{dots}\"\"\""),
            format!("a = [{}]", "1.5,".repeat(100)),
            "a.b = 1.5\n".repeat(100),
            format!("a = \"{dots}"),
        ] {
            assert_eq!(too_deep(&fine), None, "{fine}");
        }
    }
}
