//! Bytes taken apart into what a reader needs besides.

/// Gives zeros when nothing is left.
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// Two parts of whatever length.
    pub fn halves(mut self) -> (&'a [u8], &'a [u8]) {
        let at = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        self.0.split_at(at.min(self.0.len()))
    }
}
