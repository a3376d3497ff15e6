//! As much of JSON as headers of tensor files need: one value after the other, nothing held.

/// How deep values that are passed over may lie in each other.
const DEPTH_MAX: usize = 32;

/// A place in a JSON text. Every answer is `None` where the text is something else.
pub(super) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    fn peek(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn token(&mut self, token: u8) -> Option<()> {
        (self.peek()? == token).then(|| self.at += 1)
    }

    /// Asserts that nothing but blanks follows.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Reads an object; `member` reads the value of each key.
    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, Vec<u8>) -> Option<()>) -> Option<()> {
        self.members(b'{', b'}', |json| {
            let key = json.string()?;
            json.token(b':')?;
            member(json, key)
        })
    }

    /// Reads an array; `item` reads each value.
    pub(super) fn array(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.members(b'[', b']', item)
    }

    fn members(
        &mut self,
        open: u8,
        close: u8,
        mut member: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.token(open)?;
        if self.token(close).is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            if self.token(close).is_some() {
                return Some(());
            }
            self.token(b',')?;
        }
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Option<Vec<u8>> {
        self.token(b'"')?;
        let mut text = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..)?;
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            text.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            match rest[plain] {
                b'"' => return Some(text),
                b'\\' => self.escape(&mut text)?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let letter = *self.bytes.get(self.at)?;
        self.at += 1;
        let plain = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.unit()?;
                let is_pair = (0xd800..0xdc00).contains(&first);
                if is_pair && !self.bytes.get(self.at..)?.starts_with(b"\\u") {
                    return None;
                }
                let second = is_pair.then(|| {
                    self.at += 2;
                    self.unit()
                });
                let units = match second {
                    Some(second) => [first, second?],
                    None => [first, 0],
                };
                let length = 1 + usize::from(is_pair);
                for c in char::decode_utf16(units.into_iter().take(length)) {
                    text.extend_from_slice(c.ok()?.encode_utf8(&mut [0; 4]).as_bytes());
                }
                return Some(());
            }
            _ => return None,
        };
        text.push(plain);
        Some(())
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        digits.iter().try_fold(0_u16, |unit, byte| Some(unit << 4 | digit(byte)? as u16))
    }

    /// Reads a number without sign, fraction or exponent, of at most 64 bits.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let first = self.peek()?;
        let digits = self.bytes.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_digit());
        let (count, value) = digits.fold((0, Some(0_u64)), |(count, value), byte| {
            let digit = u64::from(byte - b'0');
            (count + 1, value.and_then(|value| value.checked_mul(10)?.checked_add(digit)))
        });
        self.at += count;
        let is_plain = count == 1 || (count > 1 && first != b'0');
        let ends = !matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        value.filter(|_| is_plain && ends)
    }

    /// Goes over a value of any kind.
    pub(super) fn skip(&mut self) -> Option<()> {
        self.skip_below(DEPTH_MAX)
    }

    fn skip_below(&mut self, depth: usize) -> Option<()> {
        let below = depth.checked_sub(1)?;
        match self.peek()? {
            b'{' => self.object(|json, _| json.skip_below(below)),
            b'[' => self.array(|json| json.skip_below(below)),
            b'"' => self.string().map(drop),
            _ => {
                let is_scalar = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = self.bytes.get(self.at..)?.iter().take_while(|byte| is_scalar(byte)).count();
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }
}
