//! SCPI mnemonics: when two spellings are the same word, and when two headers are the same command.
//!
//! The short form of a word of more than four letters is its first four letters, or its first three where the fourth is a vowel
//! (SCPI-99, 6.2.1): `OUTPut`, `EXTernal`. A number behind a word belongs to both forms. `SINC` is therefore not `SIN`, and `CHAN10` is not
//! `CHAN1`.

/// Words that many instruments let one leave out: the first word of a header, and the last.
const OPTIONAL_FIRST: &str = "SOURCE";
const OPTIONAL_LAST: [&str; 2] = ["STATE", "IMMEDIATE"];

/// Whether two words are the long or the short form of one, with the same number behind.
pub(crate) fn same_word(one: &str, other: &str) -> bool {
    let ((one, number), (other, others)) = (parts(one), parts(other));
    number == others && same_letters(one, other)
}

/// Whether two headers are the same command, on whichever channel: numbers behind words are not compared, and optional words may be left
/// out of either.
pub(crate) fn same_command(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same_letters(one, other))
}

/// Whether two headers are the same command on the same channel: a number that is left out is 1, and optional words may be left out of either.
pub(crate) fn same_header(one: &str, other: &str) -> bool {
    let (one, other) = (numbered_words(one), numbered_words(other));
    let same =
        |(one, other): (&&str, &&str)| same_letters(parts(one).0, parts(other).0) && channel(one) == channel(other);
    one.len() == other.len() && one.iter().zip(&other).all(same)
}

/// The number behind a word; 1 where there is none.
fn channel(word: &str) -> Option<u32> {
    let number = parts(word).1;
    if number.is_empty() { Some(1) } else { number.parse().ok() }
}

/// The words of a header without optional words; that of another channel than the first is not optional.
fn numbered_words(header: &str) -> Vec<&str> {
    let mut words: Vec<&str> = header.trim_start_matches(':').split(':').collect();
    if 1 < words.len() && words.last().is_some_and(|last| OPTIONAL_LAST.iter().any(|word| same_letters(last, word))) {
        words.pop();
    }
    let is_source = |word: &str| same_letters(parts(word).0, OPTIONAL_FIRST) && channel(word) == Some(1);
    if 1 < words.len() && is_source(words[0]) {
        words.remove(0);
    }
    words
}

/// The words of a header without numbers and without optional words.
fn words(header: &str) -> Vec<String> {
    let letters = |word: &str| word.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
    let mut words: Vec<String> = header.trim_start_matches(':').split(':').map(letters).collect();
    if 1 < words.len() && words.last().is_some_and(|last| OPTIONAL_LAST.iter().any(|word| same_letters(last, word))) {
        words.pop();
    }
    if 1 < words.len() && same_letters(&words[0], OPTIONAL_FIRST) {
        words.remove(0);
    }
    words
}

/// A word and the number behind it.
fn parts(word: &str) -> (&str, &str) {
    word.split_at(word.trim_end_matches(|letter: char| letter.is_ascii_digit()).len())
}

/// Whether letters are the same, or the short form of the other ones.
fn same_letters(one: &str, other: &str) -> bool {
    let (long, brief) = if one.len() < other.len() { (other, one) } else { (one, other) };
    let is_word = !brief.is_empty() && long.bytes().all(|letter| letter.is_ascii_alphabetic());
    long.eq_ignore_ascii_case(brief) || (is_word && short(long).eq_ignore_ascii_case(brief))
}

/// The short form of a word of letters.
fn short(word: &str) -> &str {
    match word.as_bytes() {
        [_, _, _, fourth, _, ..] if b"AEIOU".contains(&fourth.to_ascii_uppercase()) => &word[..3],
        [_, _, _, _, _, ..] => &word[..4],
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_forms_are_one_word_and_prefixes_are_not() {
        for (one, other) in [
            ("EXT", "EXTERNAL"),
            ("sinusoid", "SIN"),
            ("CHAN10", "CHANnel10"),
            ("ARB", "ARBITRARY"),
            ("BURS", "BURST"),
            ("TRIG", "TRIG"),
            ("DC", "DC"),
        ] {
            assert!(same_word(one, other) && same_word(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("EXT", "EXT10"),
            ("CHAN10", "CHAN1"),
            ("EXT", "E"),
            ("SIN", "SINC"),
            ("SINU", "SINUSOID"),
            ("TRI", "TRIGGER"),
            ("BUS", "BURST"),
            ("A", ""),
        ] {
            assert!(!same_word(one, other) && !same_word(other, one), "{one} {other}");
        }
    }

    #[test]
    fn a_command_is_the_same_in_every_spelling_and_on_every_channel() {
        for header in ["OUTP1", "OUTP", ":OUTPUT1", "outp2:stat", "OUTPut:STATe", "SOUR1:OUTP"] {
            assert!(same_command("OUTP1", header), "{header}");
        }
        for header in ["OUTP1:LOAD", "OUT", "TRIG", "OUTP:STAT:LOAD"] {
            assert!(!same_command("OUTP1", header), "{header}");
        }
        assert!(same_command("C1:OUTP", "C2:OUTP") && same_command("TRIG1", "TRIGGER:IMM"));
        assert!(same_header("SOUR1:VOLT", "volt") && same_header(":SOURCE:VOLTage", "SOUR01:VOLT"));
        assert!(same_header("OUTP2:STAT", "OUTPUT2") && same_header("SOUR2:VOLT", "SOURce2:VOLT"));
        assert!(!same_header("SOUR2:VOLT", "SOUR1:VOLT") && !same_header("VOLT", "SOUR2:VOLT"));
        assert!(!same_header("SOUR1:VOLT", "SOUR1:VOLT:OFFS") && !same_header("OUTP2", "OUTP"));
        assert!(same_command("STAT", "STATE"), "nothing is optional where there is nothing else");
    }
}
