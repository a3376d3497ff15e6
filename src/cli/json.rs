//! JSON lines: one object a line, with `type`, sizes in bytes, times in RFC 3339 UTC.

use serde_json::{Map, Value};

use crate::base::Time;
use crate::base::id::hex;
use crate::base::parse::format_time_utc;

/// Returns one object as a line without its end: `fields` (an object) with its `type` set to `kind`.
pub fn line(kind: &str, fields: Value) -> String {
    let mut map = match fields {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.insert("type".to_owned(), Value::from(kind));
    Value::Object(map).to_string()
}

/// Returns `time` as RFC 3339 in UTC; times beyond the years that it can write become the nearest that it
/// can.
pub fn time(time: Time) -> String {
    format_time_utc(time)
}

/// Sets `key` to a name, and for one that is not UTF-8 also `<key>_hex` to its exact bytes.
pub fn set_name(fields: &mut Map<String, Value>, key: &str, name: &[u8]) {
    fields.insert(key.to_owned(), Value::from(String::from_utf8_lossy(name).into_owned()));
    if std::str::from_utf8(name).is_err() {
        fields.insert(format!("{key}_hex"), Value::from(hex(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(Time { seconds: 0, nanoseconds: 5_000_000 }), "1970-01-01T00:00:00.005Z");
        assert_eq!(time(Time { seconds: -1, nanoseconds: 0 }), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn names_that_are_not_utf8_keep_their_bytes() {
        let mut fields = Map::new();
        set_name(&mut fields, "path", b"a\xff");
        set_name(&mut fields, "target", b"b\n");
        let expected = json!({"path": "a\u{fffd}", "path_hex": "61ff", "target": "b\n"});
        assert_eq!(Value::Object(fields), expected);
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("warning", json!({"message": "a\nb"})), r#"{"message":"a\nb","type":"warning"}"#);
    }
}
