//! The run plane: makes true what control asks for, and keeps it true.

pub mod runs;

/// The static shim, as built with this crate; whoever starts the server writes it to
/// `libexec/shim-<sha256>`.
pub fn shim_binary() -> &'static [u8] {
    &[]
}
