//! What an interlock may watch besides the outputs of its plant.

/// A reading that is no output of the plant.
pub trait Reading: Send + Sync {
    /// What is read, such as a query.
    fn what(&self) -> &str;

    /// Its unit.
    fn unit(&self) -> &str;

    /// The newest reading; why there is none that counts.
    fn newest(&self) -> Result<f32, String>;

    /// Reads anew.
    fn read(&self) -> Result<f32, String>;
}
