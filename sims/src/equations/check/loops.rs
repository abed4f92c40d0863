//! How many values a line and the sums within it run over: what is more than memory can hold is refused before anything is built.

use super::super::model::{Meaning, Model};
use super::super::syntax::{Expr, Kind};
use crate::Error;

/// Values of all indices of one place together.
const MOST: usize = 1 << 24;

/// Refuses sums over more values than can be computed in one step.
pub(super) fn check(model: &Model) -> Result<(), Error> {
    let outputs = model.outputs.iter().map(|output| &output.line);
    for line in model.lets.iter().chain(&model.equations).chain(outputs) {
        let count = model.count(&line.indices);
        let all = count.saturating_mul(deepest(model, &line.right.expr));
        if MOST < all {
            let what = format!(
                "`{}` runs over {all} values of its indices, each of which is computed in every step: at most {MOST} can be; sum over fewer indices at \
                 once, by a quantity of [let] for what goes with some of them alone",
                line.name
            );
            return Err(model.error(&line.right, &line.right.expr.span, what));
        }
    }
    Ok(())
}

/// The most values that sums within one another run over.
fn deepest(model: &Model, expr: &Expr) -> usize {
    let most = |parts: &mut dyn Iterator<Item = &Expr>| parts.map(|part| deepest(model, part)).max().unwrap_or(1);
    match &expr.kind {
        Kind::Number { .. } | Kind::Name { .. } => 1,
        Kind::Call { name, of } => {
            let size = match of.first().map(|first| &first.kind) {
                Some(Kind::Name { name: index, .. }) if name == "sum" => match model.names.get(index) {
                    Some(Meaning::Index(number)) => model.indices[*number].size,
                    _ => 1,
                },
                _ => 1,
            };
            size.saturating_mul(most(&mut of.iter()))
        }
        Kind::Sum(parts) | Kind::Product(parts) => most(&mut parts.iter().map(|(_, part)| part)),
        Kind::Power(a, b) | Kind::Compare(_, a, b) => deepest(model, a).max(deepest(model, b)),
        Kind::All(parts) | Kind::Any(parts) => most(&mut parts.iter()),
        Kind::Not(inner) => deepest(model, inner),
    }
}
