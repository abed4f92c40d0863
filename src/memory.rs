//! The allocator: tensors and batches are made and dropped in each step, and the system's own allocator gives their memory back and
//! gets it again page by page, which takes a third of a training step and keeps the cores waiting for each other.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
