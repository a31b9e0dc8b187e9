use super::*;

#[test]
fn fields_read_back_as_they_were_written() {
    let mut w = ProtoWriter::new();
    w.u64_field(1, 300);
    w.i64_field(2, -1);
    w.sint64_field(3, -7);
    w.f64_field(4, -0.0);
    w.str_field(5, "héllo");
    w.packed_sint64(6, [1, -1, i64::MIN]);
    w.packed_f64(7, [1.5, f64::INFINITY]);
    w.message_field(8, |w| w.bytes_field(1, &[7; 300]));
    w.u64_field(9, 0);
    let bytes = w.finish();
    let mut reader = ProtoReader::new(&bytes);
    let mut next = || reader.next_field().unwrap().unwrap();
    assert_eq!(next().u64(), Ok(300));
    assert_eq!(next().i64(), Ok(-1));
    assert_eq!(next().sint64(), Ok(-7));
    assert_eq!(next().f64().map(f64::to_bits), Ok((-0.0f64).to_bits()));
    assert_eq!(next().str(), Ok("héllo"));
    let mut ints = Vec::new();
    next().repeated_sint64(|v| ints.push(v)).unwrap();
    assert_eq!(ints, [1, -1, i64::MIN]);
    let mut floats = Vec::new();
    next().repeated_f64(|v| floats.push(v)).unwrap();
    assert_eq!(floats, [1.5, f64::INFINITY]);
    let inner = next().message().unwrap().next_field().unwrap().unwrap();
    assert_eq!(inner.bytes(), Ok(&[7u8; 300][..]));
    assert_eq!(reader.next_field(), Ok(None), "a default scalar is not written");
}

#[test]
fn malformed_messages_are_refused() {
    let check = |bytes: &[u8], expected: ProtoError| {
        let mut reader = ProtoReader::new(bytes);
        let error = loop {
            match reader.next_field() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{bytes:?} was accepted"),
                Err(error) => break error,
            }
        };
        assert_eq!(error, expected, "{bytes:?}");
    };
    check(&[0x08], ProtoError::Truncated);
    check(&[0x08, 0x80], ProtoError::Truncated);
    check(&[0x0a, 5, 1], ProtoError::Truncated);
    check(&[0x09, 1, 2], ProtoError::Truncated);
    check(&[0x00, 1], ProtoError::IllegalTag(0, 0));
    check(&[0x0f], ProtoError::IllegalTag(15, 7));
    check(&[0x0c], ProtoError::UnexpectedEndGroup);
    check(&[0xff; 12], ProtoError::VarintOverflow);
    check(&[0x0b; 40], ProtoError::GroupsTooDeep);
    assert_eq!(ProtoReader::new(&[0x0b, 0x10, 1, 0x0c, 0x08, 1]).next_field().unwrap().unwrap().u64(), Ok(1));
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = base::Rng::new(7);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..rng.next_u64() % 40).map(|_| rng.next_u64() as u8).collect();
        let mut reader = ProtoReader::new(&bytes);
        while let Ok(Some(field)) = reader.next_field() {
            let _ = (field.str(), field.repeated_u64(drop), field.repeated_f64(drop), field.sint32());
        }
    }
}
