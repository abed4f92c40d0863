//! What is left of a division.

use super::{Function, Id, Pair, Terms};

impl Terms {
    /// a − |b|·⌊a/|b|⌋: from 0 on and below |b|.
    pub fn modulo(&mut self, a: Id, b: Id) -> Id {
        if let (Some(a), Some(b)) = (self.as_number(a), self.as_number(b))
            && b != 0.0
        {
            return self.number(a.rem_euclid(b));
        }
        let size = self.call(Function::Abs, b);
        let quotient = self.product(vec![(a, 2), (size, -2)], 1.0);
        let whole = self.call(Function::Floor, quotient);
        let taken = self.multiply(size, whole);
        let rest = self.sum([(a, 1.0), (taken, -1.0)], 0.0);
        // A quotient that is rounded up or down to the next whole number is one too many or too few.
        let [less, more] = [-1.0, 1.0].map(|sign| self.sum([(rest, 1.0), (size, sign)], 0.0));
        let zero = self.number(0.0);
        let [beyond, below] =
            [(size, rest, Pair::AtMost), (rest, zero, Pair::Below)].map(|(a, b, pair)| self.pair(pair, a, b));
        let raised = self.select(below, more, rest);
        self.select(beyond, less, raised)
    }
}
