//! What is wrong in a file is refused with its line and the nearest key; overrides and overlays keep their places.

use super::*;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Part {
    Wheel { width: usize },
    Door { color: Option<String> },
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct Car {
    name: String,
    #[serde(default)]
    speed: f64,
    #[serde(default)]
    parts: Vec<Part>,
}

const TEXT: &str = "name = \"a\"\nspeed = 3\n\n[[parts]]\nkind = \"wheel\"\nwidth = 4\n";

fn error(text: &str) -> String {
    Document::parse("car.toml", text).and_then(|document| document.check::<Car>()).unwrap_err().to_string()
}

#[test]
fn a_sound_file_is_read() {
    let car: Car = Document::parse("car.toml", TEXT).unwrap().check().unwrap();
    assert_eq!(car, Car { name: "a".into(), speed: 3.0, parts: vec![Part::Wheel { width: 4 }] });
}

#[test]
fn unknown_keys_name_file_line_key_and_nearest() {
    assert_eq!(
        error(&TEXT.replace("width", "widht")),
        "car.toml:6: `parts.0.widht` is not a known key: the keys here are `kind`, `width`. Did you mean `width`?"
    );
    assert!(error("nme = 1").starts_with("car.toml:1: `nme` is not a known key"));
}

#[test]
fn wrong_kinds_types_and_missing_keys_are_refused() {
    assert_eq!(
        error(&TEXT.replace("wheel", "wheal")),
        "car.toml:5: `parts.0.kind` is `wheal`, but it must be one of `wheel`, `door`. Did you mean `wheel`?"
    );
    assert_eq!(error(&TEXT.replace("= 4", "= -4")), "car.toml:6: `parts.0.width` is -4, but it cannot be negative");
    assert_eq!(
        error(&TEXT.replace("= 4", "= \"4\"")),
        "car.toml:6: `parts.0.width` is the string \"4\", but a whole number was expected"
    );
    assert_eq!(error("speed = 1"), "car.toml: lacks the key `name`");
    assert!(error("name = ").starts_with("car.toml:1: "));
}

#[test]
fn a_list_of_more_tables_than_anybody_writes_is_refused_at_once() {
    let text = format!("name = \"a\"\n{}", "[[parts]]\nkind = \"wheel\"\nwidth = 4\n".repeat(40_000));
    assert_eq!(error(&text), "car.toml:2: `parts` are 40000 tables: at most 1000 make sense in one list");
}

#[test]
fn overrides_change_values_and_are_named_in_errors() {
    let mut document = Document::parse("car.toml", TEXT).unwrap();
    document.set("parts.0.width=7").unwrap();
    document.set("name=b c").unwrap();
    let car: Car = document.check().unwrap();
    assert_eq!((car.name.as_str(), &car.parts[0]), ("b c", &Part::Wheel { width: 7 }));
    document.set("parts.0.widht=7").unwrap();
    let error = document.check::<Car>().unwrap_err().to_string();
    assert!(error.starts_with("--set parts.0.widht=7: `parts.0.widht` is not a known key"), "{error}");
    assert_eq!(
        document.set("parts.1.width=7").unwrap_err().to_string(),
        "--set parts.1.width=7: `parts` has no item `1`: it has 1, counted from 0"
    );
    assert!(document.set("nonsense").is_err());
}

#[test]
fn a_table_that_makes_no_sense_names_the_overrides_that_changed_it() {
    let text = "[car]\nlength = 3\nwidth = 2\n";
    let refused = |sets: &[&str], key: &str| {
        let mut document = Document::parse("car.toml", text).unwrap();
        for set in sets {
            document.set(set).unwrap();
        }
        document.refuse_inside("car", key, "cannot be built").to_string()
    };
    assert_eq!(refused(&[], "width"), "car.toml:3: `car` cannot be built");
    assert_eq!(refused(&[], "height"), "car.toml:1: `car` cannot be built");
    assert_eq!(refused(&["car.width=9"], "width"), "--set car.width=9: `car` cannot be built");
    assert_eq!(refused(&["car.width=9"], "height"), "--set car.width=9: `car` cannot be built");
    assert_eq!(refused(&["car.length=9"], "width"), "car.toml:3, beside --set car.length=9: `car` cannot be built");
    let both = refused(&["car.length=9", "car.wheels=5"], "height");
    assert_eq!(both, "--set car.length=9, --set car.wheels=5: `car` cannot be built");
    // What is set elsewhere has no part in it.
    assert_eq!(refused(&["bus.length=9"], "width"), "car.toml:3: `car` cannot be built");
}

#[test]
fn a_table_is_laid_over_the_rest_and_its_errors_keep_their_lines() {
    let laid = |quick: &str| {
        let mut document = Document::parse("car.toml", &format!("{TEXT}\n[quick]\n{quick}")).unwrap();
        document.lay("quick").and_then(|()| document.check::<Car>())
    };
    let car = laid("speed = 1.5\nparts.0.width = 9\n").unwrap();
    assert_eq!(car, Car { name: "a".into(), speed: 1.5, parts: vec![Part::Wheel { width: 9 }] });
    let error = |quick: &str| laid(quick).unwrap_err().to_string();
    assert!(
        error("\nspeeed = 1\n").starts_with("car.toml:10: `speeed` is not a known key"),
        "{}",
        error("\nspeeed = 1\n")
    );
    assert_eq!(
        error("parts.3.width = 9\n"),
        "car.toml:9: `quick.parts.3.width` `parts` has no item `3`: it has 1, counted from 0"
    );
}
