//! Takes an input apart, for targets that need more than one thing.

/// The unread rest of an input. Reading past the end gives zeros: every input means something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// The next `n` bytes, or what is left of them.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece with its length, at most 64 KiB, in front.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let n = self.u16();
        self.take(usize::from(n))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends what [`Input::piece`] reads.
pub(crate) fn put_piece(out: &mut Vec<u8>, piece: &[u8]) {
    let n = u16::try_from(piece.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&n.to_le_bytes());
    out.extend_from_slice(&piece[..usize::from(n)]);
}

/// The input as text, if it is text: what is not never reaches a parser of text.
pub(crate) fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}
