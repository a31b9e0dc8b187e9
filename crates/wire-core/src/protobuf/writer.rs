//! Writing protobuf messages into a byte vector.

/// Appends fields to a buffer. Proto3 scalars equal to their default are left out by the `*_field`
/// methods, as generated encoders do; repeated elements are written by the caller one by one.
#[derive(Debug, Default)]
pub struct ProtoWriter {
    out: Vec<u8>,
}

impl ProtoWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues behind what `out` holds already.
    pub fn into_buffer(out: Vec<u8>) -> Self {
        Self { out }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    pub fn clear(&mut self) {
        self.out.clear();
    }

    pub fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.out.push((v as u8) | 0x80);
            v >>= 7;
        }
        self.out.push(v as u8);
    }

    fn tag(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    /// `uint64`, `uint32`, `bool` and non-negative enums.
    pub fn u64_field(&mut self, field: u32, v: u64) {
        if v != 0 {
            self.tag(field, 0);
            self.varint(v);
        }
    }

    /// `int64` and `int32`.
    pub fn i64_field(&mut self, field: u32, v: i64) {
        self.u64_field(field, v.cast_unsigned());
    }

    /// `sint64` and `sint32`.
    pub fn sint64_field(&mut self, field: u32, v: i64) {
        self.u64_field(field, zigzag(v));
    }

    /// A member of a `oneof`: written even when zero.
    pub fn u64_member(&mut self, field: u32, v: u64) {
        self.tag(field, 0);
        self.varint(v);
    }

    pub fn f64_field(&mut self, field: u32, v: f64) {
        if v.to_bits() != 0 {
            self.f64_member(field, v);
        }
    }

    /// A member of a `oneof`: written even when zero.
    pub fn f64_member(&mut self, field: u32, v: f64) {
        self.tag(field, 1);
        self.out.extend_from_slice(&v.to_bits().to_le_bytes());
    }

    pub fn str_field(&mut self, field: u32, v: &str) {
        self.bytes_field(field, v.as_bytes());
    }

    pub fn bytes_field(&mut self, field: u32, v: &[u8]) {
        if !v.is_empty() {
            self.bytes_element(field, v);
        }
    }

    /// An element of a repeated `string` or `bytes` field: written even when empty.
    pub fn bytes_element(&mut self, field: u32, v: &[u8]) {
        self.tag(field, 2);
        self.varint(v.len() as u64);
        self.out.extend_from_slice(v);
    }

    /// An embedded message, written even when empty. The length is put in front once it is known.
    pub fn message_field(&mut self, field: u32, body: impl FnOnce(&mut Self)) {
        self.tag(field, 2);
        self.delimited(body);
    }

    /// A message behind its length, as delimited streams hold them.
    pub fn delimited(&mut self, body: impl FnOnce(&mut Self)) {
        let length_at = self.out.len();
        self.out.push(0);
        body(self);
        let len = self.out.len() - length_at - 1;
        if len < 0x80 {
            self.out[length_at] = len as u8;
            return;
        }
        let mut prefix = Self::new();
        prefix.varint(len as u64);
        self.out.splice(length_at..=length_at, prefix.out);
    }

    /// A packed repeated varint field; nothing when there are no values.
    pub fn packed_u64(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.message_field(field, |w| values.for_each(|v| w.varint(v)));
        }
    }

    /// A packed repeated `sint64` field.
    pub fn packed_sint64(&mut self, field: u32, values: impl IntoIterator<Item = i64>) {
        self.packed_u64(field, values.into_iter().map(zigzag));
    }

    /// A packed repeated `double` field.
    pub fn packed_f64(&mut self, field: u32, values: impl IntoIterator<Item = f64>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.message_field(field, |w| {
                values.for_each(|v| w.out.extend_from_slice(&v.to_bits().to_le_bytes()));
            });
        }
    }
}

fn zigzag(v: i64) -> u64 {
    (v << 1 ^ v >> 63).cast_unsigned()
}
