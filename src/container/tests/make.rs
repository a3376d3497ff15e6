//! Containers made here.

/// One member of a zip file.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) method: u16,
}

pub(super) fn stored<'a>(name: &'a str, bytes: &'a [u8]) -> Part<'a> {
    Part { name, bytes, method: 0 }
}

/// How a zip file tells of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    InHeader,
    /// Behind the member, in 4 bytes each.
    Behind,
    /// Behind the member, in 8 bytes each.
    Behind64,
    /// In zip64 fields everywhere.
    Wide,
}

/// Returns a zip file, or only what stands before its directory.
pub(super) fn zip(parts: &[Part], sizes: Sizes, with_directory: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let is_behind = matches!(sizes, Sizes::Behind | Sizes::Behind64);
    let is_wide = sizes == Sizes::Wide;
    let flags = if is_behind { 8_u16 } else { 0 };
    for part in parts {
        let length = part.bytes.len() as u64;
        let offset = file.len() as u64;
        let narrow = if is_wide { u32::MAX } else { length as u32 };
        let in_header = if is_behind { 0 } else { narrow };
        let extra = if is_wide { wide_field(&[length, length]) } else { Vec::new() };
        file.extend(b"PK\x03\x04\0\0");
        file.extend(flags.to_le_bytes());
        file.extend(part.method.to_le_bytes());
        file.extend([0; 8]);
        file.extend([in_header.to_le_bytes(), in_header.to_le_bytes()].concat());
        file.extend((part.name.len() as u16).to_le_bytes());
        file.extend((extra.len() as u16).to_le_bytes());
        file.extend(part.name.as_bytes());
        file.extend(&extra);
        file.extend(part.bytes);
        match sizes {
            Sizes::Behind => {
                file.extend([&b"PK\x07\x08\0\0\0\0"[..], &[narrow.to_le_bytes(); 2].concat()].concat())
            }
            Sizes::Behind64 => {
                file.extend([&b"PK\x07\x08\0\0\0\0"[..], &[length.to_le_bytes(); 2].concat()].concat());
            }
            Sizes::InHeader | Sizes::Wide => {}
        }
        let extra = if is_wide { wide_field(&[length, length, offset]) } else { Vec::new() };
        directory.extend(b"PK\x01\x02\0\0\0\0");
        directory.extend(flags.to_le_bytes());
        directory.extend(part.method.to_le_bytes());
        directory.extend([0; 8]);
        directory.extend([narrow.to_le_bytes(), narrow.to_le_bytes()].concat());
        directory.extend((part.name.len() as u16).to_le_bytes());
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(if is_wide { u32::MAX } else { offset as u32 }.to_le_bytes());
        directory.extend(part.name.as_bytes());
        directory.extend(&extra);
    }
    if with_directory {
        end(&mut file, &directory, parts.len(), is_wide);
    }
    file
}

fn wide_field(values: &[u64]) -> Vec<u8> {
    let mut field = [1_u16.to_le_bytes(), (8 * values.len() as u16).to_le_bytes()].concat();
    field.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    field
}

fn end(file: &mut Vec<u8>, directory: &[u8], count: usize, is_wide: bool) {
    let begin = file.len() as u64;
    file.extend(directory);
    let after = file.len() as u64;
    let (mut begin_field, mut count_field) = (begin as u32, count as u16);
    if is_wide {
        file.extend(b"PK\x06\x06");
        file.extend(44_u64.to_le_bytes());
        file.extend([0; 12]);
        for value in [count as u64, count as u64, directory.len() as u64, begin] {
            file.extend(value.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(after.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        (begin_field, count_field) = (u32::MAX, u16::MAX);
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count_field.to_le_bytes(), count_field.to_le_bytes()].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(begin_field.to_le_bytes());
    file.extend([0; 2]);
}

/// Returns the opcodes of a tensor of one dimension on the storage `key`.
pub(super) fn tensor(class: &str, key: &str, count: u8) -> Vec<u8> {
    let mut code = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    code.extend(text("storage"));
    code.extend(format!("ctorch\n{class}\n").as_bytes());
    code.extend(text(key));
    code.extend(text("cpu"));
    code.extend([b'K', count, b't', b'Q', b'K', 0, b'K', count, 0x85, b'K', 1, 0x85, 0x89]);
    code.extend(b")tR");
    code
}

/// Returns the opcode of a text.
pub(super) fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// Returns the pickle of a dictionary.
pub(super) fn pickle(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut code = b"\x80\x02}(".to_vec();
    for (key, value) in pairs {
        code.extend(text(key));
        code.extend(value);
    }
    code.extend(b"u.");
    code
}

/// Returns a safetensors file.
pub(super) fn safetensors(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data_bytes, 7);
    file
}

/// Returns a GGUF file: pairs as their bytes with how many they are, and one tensor of eight f32.
pub(super) fn gguf(pair_count: u64, pairs: &[u8], dimensions: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(1_u64.to_le_bytes());
    file.extend(pair_count.to_le_bytes());
    file.extend(pairs);
    file.extend([&1_u64.to_le_bytes()[..], b"w"].concat());
    file.extend((dimensions.len() as u32).to_le_bytes());
    file.extend(dimensions.iter().flat_map(|side| side.to_le_bytes()));
    file.extend(kind.to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.resize(file.len().next_multiple_of(32) + 64, 1);
    file
}

/// Returns a pair of a GGUF file.
pub(super) fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat()
}
