//! What is left of a division: of indices in conditions, and of values, whose slope is that of what is divided.

use drivers::Batch;

use super::super::trials::expressions::file_of;
use super::super::{file, run::Course};
use super::{course, predict, pull_back};
use crate::Equations;

/// Even places are driven, and only they are joined with even ones.
const COMB: &str = r#"
[indices]
k = 6
j = 6
[inputs]
u = { unit = "V", range = [-9, 9], kind = "static" }
[coefficients]
K = { unit = "1", value = 1, shape = ["k", "j"], where = "mod(k, 2) == 0 and mod(j + 1, 3) == 0" }
[outputs]
driven = { unit = "V", value = "if(mod(k, 2) == 0, u, 0)", shape = ["k"], range = [-9, 9] }
joined = { unit = "V", value = "sum(j, K[k,j]*u)", shape = ["k"], range = [-9, 9] }
third = { unit = "1", value = "mod(k, 3) + 10*floor(k/3)", shape = ["k"], range = [-99, 99] }
"#;

#[test]
fn indices_have_rests_spelled_out_and_in_loops() {
    let twin = Equations::from_text("comb.toml", COMB).build().unwrap().twin;
    let expected: [f64; 18] =
        [2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
    let read = twin.predict(&Batch::new(1, vec![2.0]).unwrap(), &[]);
    assert_eq!(read.values(), expected.map(|value| value as f32));
    let (model, _) = file::read("comb.toml", COMB, None).unwrap();
    let loops = Course::with(&model, false);
    assert_eq!(predict(&loops, &[1.0; 36], &[2.0], &[]), expected);
}

#[test]
fn values_have_rests_with_slopes() {
    for (a, b) in [(7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (49.0, 49.0), (0.0, 3.0), (1e9, 7.0)] {
        let course = course(&file_of("mod(a, b) + floor(c)"));
        let point = [a, b, -1.5];
        let (found, exact) = (predict(&course, &[], &point, &[])[0], f64::rem_euclid(a, b) - 2.0);
        assert!((found - exact).abs() < 1e-12, "mod({a}, {b}) = {exact}, not {found}");
        let slopes = pull_back(&course, &[], &point, &[], &[1.0]).0;
        assert_eq!(slopes, [1.0, -f64::floor(a / b.abs()) * b.signum(), 0.0], "mod({a}, {b})");
    }
    // The rest of a division by a plain number that has no exact inverse.
    let course = course(&file_of("mod(a, 49)"));
    for a in 0..200 {
        assert_eq!(predict(&course, &[], &[f64::from(a), 0.5, 0.25], &[])[0], f64::from(a % 49));
    }
    assert!(predict(&course_of("mod(a, b)"), &[], &[1.0, 0.0, 0.0], &[])[0].is_nan());
}

fn course_of(expression: &str) -> Course {
    course(&file_of(expression))
}
