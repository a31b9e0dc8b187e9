//! The sorted texts of a part: names and values of labels, each once. A symbol is its position, so
//! symbols compare as their texts do.

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_uvarint};

/// Raw bytes of texts per block; each block starts front coding anew.
const BLOCK_TEXT_BYTES: usize = 1 << 20;

#[derive(Debug, Default, Clone)]
pub(crate) struct SymbolTable {
    texts: String,
    /// The end of each text.
    ends: Vec<u32>,
}

impl SymbolTable {
    /// `texts` must be sorted and distinct.
    pub(crate) fn from_sorted<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        for text in texts {
            table.push(text);
        }
        table
    }

    fn push(&mut self, text: &str) {
        debug_assert!(self.ends.is_empty() || self.get(self.ends.len() as u32 - 1) < Some(text), "sorted");
        self.texts.push_str(text);
        self.ends.push(u32::try_from(self.texts.len()).expect("the texts of a part stay far below 4 GiB"));
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.texts.len() + self.ends.len() * 4
    }

    pub(crate) fn get(&self, symbol: u32) -> Option<&str> {
        let i = symbol as usize;
        let end = *self.ends.get(i)? as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        Some(&self.texts[start..end])
    }

    /// The symbol of a text, or where it would be.
    pub(crate) fn find(&self, text: &str) -> Result<u32, u32> {
        let (mut low, mut high) = (0u32, self.ends.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).unwrap_or_default().cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).filter_map(|symbol| self.get(symbol))
    }

    /// The table as uncompressed blocks.
    pub(crate) fn encode_blocks(&self) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        let mut block = Vec::new();
        let mut previous = "";
        for text in self.iter() {
            let shared = text.bytes().zip(previous.bytes()).take_while(|(a, b)| a == b).count();
            put_uvarint(&mut block, shared as u64);
            put_bytes(&mut block, &text.as_bytes()[shared..]);
            previous = text;
            if block.len() >= BLOCK_TEXT_BYTES {
                blocks.push(std::mem::take(&mut block));
                previous = "";
            }
        }
        if !block.is_empty() {
            blocks.push(block);
        }
        blocks
    }

    /// Appends the texts of the next block.
    pub(crate) fn decode_block(&mut self, block: &[u8]) -> Result<(), CorruptInput> {
        let mut reader = ByteReader::new(block);
        let mut text: Vec<u8> = Vec::new();
        while !reader.is_empty() {
            let shared = reader.len(text.len())?;
            text.truncate(shared);
            text.extend_from_slice(reader.bytes()?);
            let valid = std::str::from_utf8(&text).map_err(|_| CorruptInput::NotUtf8)?;
            if self.texts.len() + valid.len() > u32::MAX as usize {
                return Err(CorruptInput::OutOfRange("size of the symbol table"));
            }
            if self.ends.len() as u64 >= u64::from(u32::MAX)
                || (!self.ends.is_empty() && self.get(self.ends.len() as u32 - 1) >= Some(valid))
            {
                return Err(CorruptInput::OutOfRange("symbol order"));
            }
            self.push(valid);
        }
        Ok(())
    }
}
