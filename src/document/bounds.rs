//! Between what each number of a file must lie: as its key declares (`#[schemars(range(min = …, max = …))]`, and where an end itself is out
//! `#[schemars(extend("exclusiveMinimum" = …))]`), or as any number of its kind is bounded. So a new key is bounded before anybody thinks of
//! it, and `pnnlab schema` prints what is checked.

use serde_json::{Map, Value as Json, json};

use super::schema::type_names;

/// The most that a whole number may be whose key declares nothing else: a count of things that are held in memory.
const MOST: i64 = 1 << 20;
/// The largest magnitude that a number may have: far beyond any quantity in SI units, and its square is still one in double precision.
const LARGEST: f64 = 1e30;
/// The smallest magnitude that is not 0.
const SMALLEST: f64 = 1e-30;

/// Writes into a schema the bounds of every number that declares none.
pub fn declare(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            let of_type = |object: &Map<String, Json>, name: &str| {
                let listed = object.get("type").and_then(Json::as_array);
                object.get("type").is_some_and(|kind| kind == name)
                    || listed.is_some_and(|all| all.contains(&json!(name)))
            };
            let format = object.get("format").and_then(Json::as_str).unwrap_or_default();
            if of_type(object, "integer") {
                let least = if format.starts_with("uint") { 0 } else { -MOST };
                object.entry("minimum").or_insert(json!(least));
                object.entry("maximum").or_insert(json!(MOST));
            } else if of_type(object, "number") {
                object.entry("minimum").or_insert(json!(-LARGEST));
                object.entry("maximum").or_insert(json!(LARGEST));
            }
            object.values_mut().for_each(declare);
        }
        Json::Array(items) => items.iter_mut().for_each(declare),
        _ => {}
    }
}

/// What is wrong with `number`, if anything: the rest of the sentence that begins with its key.
pub fn complaint(schema: &Json, number: f64, shown: &str) -> Option<String> {
    if !number.is_finite() {
        return Some(format!("is {shown}, but a finite number was expected"));
    }
    let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
    let (least, most) = (bound("minimum").unwrap_or(-LARGEST), bound("maximum").unwrap_or(LARGEST));
    let (above, below) = (bound("exclusiveMinimum"), bound("exclusiveMaximum"));
    if type_names(schema).contains(&"integer") && least == 0.0 && number < 0.0 {
        return Some(format!("is {shown}, but it cannot be negative"));
    }
    let is_low = number < least || above.is_some_and(|above| number <= above);
    let is_high = most < number || below.is_some_and(|below| below <= number);
    if is_low || is_high {
        let from = above.map_or_else(|| format!("from {}", short(least)), |above| format!("above {}", short(above)));
        // The largest number of all is said only to whom it concerns.
        let is_open = below.is_none() && most == LARGEST && !is_high;
        return Some(match (above, below) {
            (None, None) if is_open && -LARGEST < least => {
                format!("is {shown}, but it must be at least {}", short(least))
            }
            (Some(_), None) if is_open => format!("is {shown}, but it must be {from}"),
            (Some(_), None) => format!("is {shown}, but it must be {from} and at most {}", short(most)),
            (None, None) => format!("is {shown}, but it must be {from} to {}", short(most)),
            (Some(_), Some(below)) => format!("is {shown}, but it must be {from} and below {}", short(below)),
            (None, Some(below)) => format!("is {shown}, but it must be {from} to below {}", short(below)),
        });
    }
    (number != 0.0 && number.abs() < SMALLEST)
        .then(|| format!("is {shown}, which is too small to be told from 0: give 0, or {SMALLEST} or more either way"))
}

/// A bound as people write it: `1e30`, not its thirty zeros.
pub fn short(bound: f64) -> String {
    let (plain, powers) = (bound.to_string(), format!("{bound:e}"));
    if 9 < plain.len() && powers.len() < plain.len() { powers } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint_of(mut schema: Json, number: f64) -> String {
        declare(&mut schema);
        complaint(&schema, number, &number.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_declares_nothing_is_bounded_by_its_kind() {
        let count = || json!({ "type": "integer", "format": "uint", "minimum": 0 });
        assert_eq!(complaint_of(count(), 1e6), "");
        assert_eq!(complaint_of(count(), -1.0), "is -1, but it cannot be negative");
        assert_eq!(complaint_of(count(), 2e6), "is 2000000, but it must be from 0 to 1048576");
        let quantity = || json!({ "type": ["number", "null"], "format": "float" });
        assert_eq!(complaint_of(quantity(), -0.5), "");
        assert!(complaint_of(quantity(), 1e39).ends_with("must be from -1e30 to 1e30"));
        assert!(complaint_of(quantity(), 1e-308).contains("too small to be told from 0"));
    }

    #[test]
    fn what_a_key_declares_counts() {
        let schema = || json!({ "type": "number", "minimum": 0, "exclusiveMinimum": 0, "maximum": 2.5 });
        assert_eq!(complaint_of(schema(), 2.5), "");
        assert_eq!(complaint_of(schema(), 3.0), "is 3, but it must be above 0 and at most 2.5");
        assert_eq!(complaint_of(schema(), 0.0), "is 0, but it must be above 0 and at most 2.5");
        let above = || json!({ "type": "number", "exclusiveMinimum": 0 });
        assert_eq!(complaint_of(above(), -1.0), "is -1, but it must be above 0");
        assert_eq!(complaint_of(above(), 1e-3), "");
        assert!(complaint_of(above(), 1e39).ends_with("it must be above 0 and at most 1e30"));
        let below = || json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 });
        assert_eq!([0.0, 0.99].map(|number| complaint_of(below(), number)), ["", ""]);
        assert_eq!(complaint_of(below(), 1.0), "is 1, but it must be from 0 to below 1");
        assert_eq!(complaint_of(json!({ "type": "number", "minimum": 0 }), -1.0), "is -1, but it must be at least 0");
    }
}
