//! The run plane: makes true what control asks for, and keeps it true.

pub mod runs;
