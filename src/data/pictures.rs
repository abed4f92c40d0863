//! Images as a generator learns them: their distribution, not their labels.

// Circle with data/targets.rs: what a generator is learned by is one kind of targets, and its images are a data set with targets.

use sims::Key;

use super::latents::Drawn;
use super::{Dataset, Latents, Meaning, Rows, Targets};

/// Images that are to be generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// What goes into the generator.
    pub latents: Latents,
    /// Lines and columns: of n² values n each, of others one line.
    pub size: [usize; 2],
    /// What the data calls its classes.
    pub words: Vec<String>,
}

impl Pictures {
    /// Values of an image.
    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

/// Lines and columns of an image of so many values.
pub fn square(pixels: usize) -> [usize; 2] {
    let side = pixels.isqrt();
    if side * side == pixels { [side; 2] } else { [1, pixels] }
}

impl Dataset {
    /// The same as a generator learns it: latents in, images out. `told` says whether the generator is told the class of each image.
    pub fn generated(mut self, (latent, told): (usize, bool), key: Key) -> Self {
        let words: Vec<String> = self.meaning.names().into_iter().map(str::to_owned).collect();
        let latents = Latents { latent, classes: if told { words.len() } else { 0 } };
        let (key, pixels) = (key.branch("latents"), self.width);
        let turned = |rows: &Rows, part: &str| {
            let key = key.branch(part);
            let labels = rows.labels();
            let values = (0..rows.len())
                .flat_map(|row| latents.row(labels.get(row).copied(), 0, key.number(row as u64)))
                .collect();
            let images = rows.values.chunks_exact(pixels).zip(labels);
            // Whom nobody tells of classes, to him all images are of one.
            let class = |label: &u32| if told { *label as f32 } else { 0.0 };
            let wanted = images.flat_map(|(image, label)| image.iter().copied().chain([class(label)])).collect();
            Rows {
                values,
                targets: Targets::Values { values: wanted, width: pixels + 1 },
                numbers: rows.numbers.clone(),
            }
        };
        let [train, validation, test] =
            [turned(&self.train, "train"), turned(&self.validation, "validation"), turned(&self.test, "test")];
        let labels = self.train.labels().to_vec();
        self.drawn = Some(Drawn { latents, noise: 0, key, labels, augmented: self.augmented.take() });
        (self.train, self.validation, self.test) = (train, validation, test);
        (self.width, self.columns) = (latents.width(), vec![]);
        self.meaning = Meaning::Images(Box::new(Pictures { latents, size: square(pixels), words }));
        self
    }
}
