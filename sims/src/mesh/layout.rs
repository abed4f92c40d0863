//! Where the interferometers of a rectangular mesh stand (Clements et al., Optica 3, 1460, 2016, Fig. 1b).
//!
//! N modes pass N columns. Column c joins the modes (c mod 2) + 2m and the next one, m = 0, 1, …: N(N − 1)/2 interferometers, counted
//! column after column, in each from the first mode on.

/// The places of the interferometers of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Number of modes N.
    pub modes: usize,
}

impl Layout {
    /// Columns that light passes.
    pub fn columns(self) -> usize {
        self.modes
    }

    /// All interferometers.
    pub fn interferometers(self) -> usize {
        self.modes * (self.modes - 1) / 2
    }

    /// Interferometers of a column.
    pub fn in_column(self, column: usize) -> usize {
        (self.modes - column % 2) / 2
    }

    /// The number of a column's first interferometer.
    pub fn first(self, column: usize) -> usize {
        column / 2 * (self.modes - 1) + column % 2 * (self.modes / 2)
    }

    /// The interferometers beside number `place` of a column, by their numbers.
    pub fn neighbors(self, column: usize, place: usize) -> impl Iterator<Item = usize> {
        let (first, count) = (self.first(column), self.in_column(column));
        let above = place.checked_sub(1);
        let below = (place + 1 < count).then_some(place + 1);
        above.into_iter().chain(below).map(move |place| first + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interferometer_has_its_number() {
        for modes in 2..10 {
            let layout = Layout { modes };
            let mut next = 0;
            for column in 0..layout.columns() {
                assert_eq!(layout.first(column), next, "{modes} modes, column {column}");
                for place in 0..layout.in_column(column) {
                    assert!(column % 2 + 2 * place + 1 < modes);
                }
                next += layout.in_column(column);
            }
            assert_eq!(next, layout.interferometers());
        }
        let layout = Layout { modes: 6 };
        assert_eq!(layout.neighbors(0, 0).collect::<Vec<_>>(), [1]);
        assert_eq!(layout.neighbors(1, 1).collect::<Vec<_>>(), [3]);
        assert_eq!(layout.neighbors(2, 1).collect::<Vec<_>>(), [5, 7]);
    }
}
