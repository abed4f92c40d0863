//! Gauss's elimination of a sparse matrix, for all shots of a row of lanes at once.
//!
//! The places that fill up are found once. The order of the unknowns is that of approximate minimum degree (Amestoy, Davis and Duff, by
//! the crate `amd`), which keeps them few. Rows are not exchanged: the matrices are those of implicit steps, 1 − γhJ, whose diagonal stays near 1 or
//! larger where a step resolves the solution. Each lane goes through the same operations, so its result is the same bits
//! whoever its neighbours are.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use crate::Real;

/// Where the factors of a matrix of one pattern lie: the diagonal, then the rows right of it, then the columns below it. Row and
/// column of one unknown have the same places, as the pattern is made symmetric.
#[derive(Debug, Clone)]
pub(super) struct Elimination {
    pub size: usize,
    /// The number of each unknown in the order of elimination, and back.
    place: Vec<u32>,
    order: Vec<u32>,
    /// Where the places of an unknown begin, and which later unknowns they belong to.
    starts: Vec<u32>,
    later: Vec<u32>,
}

impl Elimination {
    /// For matrices that have values at these rows and columns.
    pub fn new(size: usize, entries: &[(u32, u32)]) -> Self {
        let order = ordered(size, entries);
        let mut place = vec![0; size];
        for (new, old) in order.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        // What stands right of the diagonal: what the matrix has there, and what earlier unknowns leave.
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); size];
        for (row, column) in entries {
            let [a, b] = [place[*row as usize], place[*column as usize]];
            if a != b {
                rows[a.min(b) as usize].push(a.max(b));
            }
        }
        let (mut starts, mut later) = (vec![0], Vec::new());
        for row in 0..size {
            let mut own = std::mem::take(&mut rows[row]);
            own.sort_unstable();
            own.dedup();
            if let Some((heir, rest)) = own.split_first() {
                rows[*heir as usize].extend_from_slice(rest);
            }
            later.extend_from_slice(&own);
            starts.push(later.len() as u32);
        }
        Self { size, place, order, starts, later }
    }

    /// How many values the factors have.
    pub fn values(&self) -> usize {
        self.size + 2 * self.later.len()
    }

    fn row(&self, unknown: usize) -> std::ops::Range<usize> {
        self.starts[unknown] as usize..self.starts[unknown + 1] as usize
    }

    /// Where the value at a row and column lies.
    pub fn slot(&self, row: u32, column: u32) -> u32 {
        let [row, column] = [self.place[row as usize], self.place[column as usize]];
        if row == column {
            return row;
        }
        let range = self.row(row.min(column) as usize);
        let within = self.later[range.clone()].binary_search(&row.max(column)).expect("the pattern has all entries");
        let at = self.size + range.start + within;
        (if row < column { at } else { at + self.later.len() }) as u32
    }

    /// Eliminates in place. The diagonal becomes its inverse.
    #[inline(always)]
    pub fn factor<S: Real, const W: usize>(&self, values: &mut [[S; W]]) {
        let (diagonal, rest) = values.split_at_mut(self.size);
        let (upper, lower) = rest.split_at_mut(self.later.len());
        for unknown in 0..self.size {
            let mut inverse = diagonal[unknown];
            for value in &mut inverse {
                *value = S::of(1.0) / *value;
            }
            diagonal[unknown] = inverse;
            let range = self.row(unknown);
            for below in &mut lower[range.clone()] {
                for (below, inverse) in below.iter_mut().zip(inverse) {
                    *below = *below * inverse;
                }
            }
            for first in range.clone() {
                let next = self.later[first] as usize;
                let (left, right) = (lower[first], upper[first]);
                subtract(&mut diagonal[next], left, right);
                let mut to = self.row(next).start;
                for second in first + 1..range.end {
                    let column = self.later[second];
                    while self.later[to] != column {
                        to += 1;
                    }
                    let (above, below) = (upper[second], lower[second]);
                    subtract(&mut upper[to], left, above);
                    subtract(&mut lower[to], below, right);
                }
            }
        }
    }

    /// Solves for `right`, in place; `work` has room for as many rows.
    #[inline(always)]
    pub fn solve<S: Real, const W: usize>(&self, values: &[[S; W]], right: &mut [[S; W]], work: &mut [[S; W]]) {
        let (diagonal, rest) = values.split_at(self.size);
        let (upper, lower) = rest.split_at(self.later.len());
        self.enter(right, work);
        for unknown in 0..self.size {
            let value = work[unknown];
            for at in self.row(unknown) {
                subtract(&mut work[self.later[at] as usize], lower[at], value);
            }
        }
        for unknown in (0..self.size).rev() {
            let mut value = work[unknown];
            for at in self.row(unknown) {
                subtract(&mut value, upper[at], work[self.later[at] as usize]);
            }
            for lane in 0..W {
                value[lane] = value[lane] * diagonal[unknown][lane];
            }
            work[unknown] = value;
        }
        self.leave(work, right);
    }

    /// Solves with the transposed matrix.
    #[inline(always)]
    pub fn solve_transposed<S: Real, const W: usize>(
        &self,
        values: &[[S; W]],
        right: &mut [[S; W]],
        work: &mut [[S; W]],
    ) {
        let (diagonal, rest) = values.split_at(self.size);
        let (upper, lower) = rest.split_at(self.later.len());
        self.enter(right, work);
        for unknown in 0..self.size {
            let mut value = work[unknown];
            for lane in 0..W {
                value[lane] = value[lane] * diagonal[unknown][lane];
            }
            work[unknown] = value;
            for at in self.row(unknown) {
                subtract(&mut work[self.later[at] as usize], upper[at], value);
            }
        }
        for unknown in (0..self.size).rev() {
            let mut value = work[unknown];
            for at in self.row(unknown) {
                subtract(&mut value, lower[at], work[self.later[at] as usize]);
            }
            work[unknown] = value;
        }
        self.leave(work, right);
    }

    #[inline(always)]
    fn enter<S: Copy, const W: usize>(&self, from: &[[S; W]], to: &mut [[S; W]]) {
        for (to, old) in to.iter_mut().zip(&self.order) {
            *to = from[*old as usize];
        }
    }

    #[inline(always)]
    fn leave<S: Copy, const W: usize>(&self, from: &[[S; W]], to: &mut [[S; W]]) {
        for (from, old) in from.iter().zip(&self.order) {
            to[*old as usize] = *from;
        }
    }
}

/// `to` −= a·b.
#[inline(always)]
fn subtract<S: Real, const W: usize>(to: &mut [S; W], a: [S; W], b: [S; W]) {
    for lane in 0..W {
        to[lane] = (-a[lane]).mul_add(b[lane], to[lane]);
    }
}

/// The order of approximate minimum degree; the given order where it cannot be had.
fn ordered(size: usize, entries: &[(u32, u32)]) -> Vec<u32> {
    // With the diagonal, which changes no order: the crate counts on as many entries as unknowns.
    let mut columns: Vec<Vec<i32>> = (0..size as i32).map(|place| vec![place]).collect();
    for (row, column) in entries {
        columns[*column as usize].push(*row as i32);
    }
    let (mut pointers, mut rows) = (vec![0_i32], Vec::new());
    for column in &mut columns {
        column.sort_unstable();
        column.dedup();
        rows.extend_from_slice(column);
        pointers.push(rows.len() as i32);
    }
    match amd::order(size as i32, &pointers, &rows, &amd::Control::default()) {
        Ok((order, ..)) => order.into_iter().map(|old| old as u32).collect(),
        Err(_) => (0..size as u32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn a_sparse_matrix_is_solved_both_ways() {
        let size = 60;
        let mut stream = Key::new(1).branch("matrix").stream();
        let mut entries: Vec<(u32, u32)> = (0..size as u32).map(|k| (k, k)).collect();
        for _ in 0..150 {
            entries.push((stream.below(size) as u32, stream.below(size) as u32));
        }
        entries.sort_unstable();
        entries.dedup();
        let elimination = Elimination::new(size, &entries);
        let mut dense = vec![[0.0; 2]; size * size];
        let mut values = vec![[0.0; 2]; elimination.values()];
        for (row, column) in entries {
            let value = std::array::from_fn(|_| f64::from(stream.normal()) + if row == column { 6.0 } else { 0.0 });
            dense[row as usize * size + column as usize] = value;
            values[elimination.slot(row, column) as usize] = value;
        }
        let exact: Vec<[f64; 2]> = (0..size).map(|_| std::array::from_fn(|_| f64::from(stream.normal()))).collect();
        elimination.factor(&mut values);
        for transposed in [false, true] {
            let at = |row: usize, column: usize| {
                if transposed { dense[column * size + row] } else { dense[row * size + column] }
            };
            let product = |row: usize, lane: usize| {
                (0..size).map(|column| at(row, column)[lane] * exact[column][lane]).sum::<f64>()
            };
            let mut right: Vec<[f64; 2]> = (0..size).map(|row| [product(row, 0), product(row, 1)]).collect();
            let mut work = right.clone();
            if transposed {
                elimination.solve_transposed(&values, &mut right, &mut work);
            } else {
                elimination.solve(&values, &mut right, &mut work);
            }
            for (found, exact) in right.iter().zip(&exact) {
                assert!((found[0] - exact[0]).abs() < 1e-12 && (found[1] - exact[1]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_lattice_fills_up_little() {
        let side = 32;
        let at = |x: u32, y: u32| (x % side) * side + y % side;
        let mut entries = Vec::new();
        for (x, y) in (0..side).flat_map(|x| (0..side).map(move |y| (x, y))) {
            for (a, b) in [(x, y), (x + 1, y), (x + side - 1, y), (x, y + 1), (x, y + side - 1)] {
                entries.push((at(x, y), at(a, b)));
            }
        }
        let elimination = Elimination::new((side * side) as usize, &entries);
        assert!(elimination.values() < 60_000, "{}", elimination.values());
    }

    #[test]
    fn unknowns_that_have_nothing_to_do_with_one_another_have_an_order() {
        let mut order = ordered(3, &[]);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2]);
        assert_eq!(ordered(1, &[]), [0]);
    }
}
