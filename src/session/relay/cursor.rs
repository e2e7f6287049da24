//! The place in a read buffer that a scan has come to, and the message that is on its way
//! through.

/// Walks over the bytes of one read. Bytes that go on unchanged are gathered into a run, which is
/// one slice of the read buffer; the run is moved into the output buffer only when something has to
/// be put behind it.
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
    run: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            at: 0,
            run: 0,
        }
    }

    /// How many bytes were dealt with.
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// Where the run begins; it ends at [`consumed`](Self::consumed).
    pub fn run_start(&self) -> usize {
        self.run
    }

    /// The bytes that were not dealt with yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// The bytes that go on unchanged, as far as they are not in the output buffer.
    #[inline]
    pub fn run(&self) -> &'a [u8] {
        &self.input[self.run..self.at]
    }

    /// Adds the next `n` bytes to the run.
    #[inline]
    pub fn pass(&mut self, n: usize) {
        self.at += n;
    }

    /// Moves the run into `out`, so that something can be put behind it.
    pub fn end_run(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.run());
        self.run = self.at;
    }

    /// Leaves out the next `n` bytes.
    pub fn drop(&mut self, n: usize, out: &mut Vec<u8>) {
        self.end_run(out);
        self.at += n;
        self.run = self.at;
    }
}

/// The message whose bytes are passing; they need not all be here yet.
#[derive(Default)]
pub(super) struct Passing {
    left: usize,
    dropped: bool,
}

impl Passing {
    /// Whether no message is on its way.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Whether part of a message has been sent on, and the rest is to come.
    pub fn is_in_message(&self) -> bool {
        self.left > 0 && !self.dropped
    }

    /// How many of the next bytes are part of the message.
    pub fn arrived(&self, cursor: &Cursor<'_>) -> usize {
        self.left.min(cursor.rest().len())
    }

    /// The next `length` bytes go on as they are.
    #[inline]
    pub fn pass(&mut self, length: usize) {
        self.left = length;
    }

    /// The next `length` bytes are left out.
    #[inline]
    pub fn drop(&mut self, length: usize) {
        self.left = length;
        self.dropped = true;
    }

    /// Moves over what has arrived of the message. `false`: more of it is to come.
    #[inline]
    pub fn advance(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return true;
        }
        let n = self.arrived(cursor);
        match self.dropped {
            true => cursor.drop(n, out),
            false => cursor.pass(n),
        }
        self.left -= n;
        if self.left > 0 {
            return false;
        }
        self.dropped = false;
        true
    }
}
