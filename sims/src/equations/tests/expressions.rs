//! Random expressions against their trees and finite differences, and rules that keep the domain.

use super::super::trials::agreement;
use super::super::trials::expressions::file_of;
use super::{course, predict, pull_back};

#[test]
fn trees_terms_and_programs_agree_and_slopes_are_those_of_finite_differences() {
    let found = agreement(2, 1500).unwrap();
    assert_eq!(found.first, None, "{found:?}");
    assert!(1000 < found.values && 50 < found.undefined && 2000 < found.slopes, "{found:?}");
    assert!(found.worst_value <= 1e-12 && found.worst_slope < 1e-6 && found.domains == 0, "{found:?}");
}

#[test]
fn what_would_change_a_domain_is_left_unless_the_file_assumes_it() {
    let value = |expression: &str, assume: &str, a: f64| {
        let text = format!("assume = [{assume}]\n{}", file_of(expression));
        predict(&course(&text), &[], &[a, 0.5, 0.25], &[])[0]
    };
    for expression in
        ["a/a", "ln(a) - ln(a)", "0*ln(a)", "sqrt(a)*sqrt(a)", "a^2/a", "exp(ln(a))", "(a/a)^0", "if(1/a > 2, b, b)"]
    {
        assert!(
            !value(expression, "", if expression.contains("ln") || expression.contains("sqrt") { -1.0 } else { 0.0 })
                .is_finite()
                || expression.starts_with("if"),
            "{expression}"
        );
    }
    assert_eq!(value("a/a", "\"a > 0\"", 0.0), 1.0);
    assert_eq!(value("sqrt(a)*sqrt(a)", "\"0 < a\"", -2.0), -2.0);
    assert_eq!(value("exp(ln(a))", "\"a > 0\"", -2.0), -2.0);
    assert_eq!(value("sqrt(a^2)", "", -2.0), 2.0);
    // A branch that is not taken has no say in the slope.
    let course = course(&file_of("if(a > 0, sqrt(a), 0) + if(a < 0, b/a, 0)"));
    assert_eq!(pull_back(&course, &[], &[0.0, 1.0, 1.0], &[], &[1.0]).0, [0.0, 0.0, 0.0]);
}

#[test]
fn a_long_sum_that_begins_with_a_minus_is_not_turned_for_ever() {
    let long: String = ["-a", "-b", "-c", "-a*b", "-a*c", "-b*c", "-a^2", "-b^2", "-c^2", "-exp(a)"].concat();
    let (value, a) =
        (|point: &[f64]| predict(&course(&file_of(&format!("tan(({long})*0.01)"))), &[], point, &[])[0], 0.2);
    let sum: f64 = -a - 0.5 - 0.25 - a * 0.5 - a * 0.25 - 0.125 - a * a - 0.25 - 0.0625 - f64::exp(a);
    assert!((value(&[a, 0.5, 0.25]) - (0.01 * sum).tan()).abs() < 1e-15);
    let value = predict(&course(&file_of(&format!("atan({long})"))), &[], &[a, 0.5, 0.25], &[])[0];
    assert!((value - sum.atan()).abs() < 1e-14, "{value}");
}
