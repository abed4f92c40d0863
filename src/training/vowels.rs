//! Spoken vowels as the programs of a report name them in their experiments: those of `experiments/vowels-optical.toml`.

/// The table `[data]`: so many test rows, and how the formants are scaled. What follows it may be more keys of the table.
pub fn data(test: usize, scaling: &str) -> String {
    format!(
        "[data]\nsource = \"csv\"\nfile = \"vowels.csv\"\nlabel = \"vowel\"\nlabel_skip = 3\ntest = {test}\nsplit = \"stratified\"\n\
         scaling = \"{scaling}\"\nobtain = \"It is in the repository mcmahon-lab/2D-programmable-waveguide on GitHub (CC BY 4.0)\"\n"
    )
}
