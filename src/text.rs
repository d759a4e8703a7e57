//! Reads a JavaScript string without allocating.

use ip_risk_core::address::Address;
use napi::bindgen_prelude::{FromNapiValue, Result, check_status, sys};

/// One byte more than the longest text that can be an address tells that a text is too long, one more holds
/// the terminator.
const CAPACITY: usize = Address::MAX_TEXT + 2;

/// Text that may be an address. Longer text is cut, which no address survives.
///
/// Read as UTF-8 on purpose: the faster read as Latin-1 keeps only the low byte of each character, so that
/// `ı.1.1.1` would be taken for `1.1.1.1`.
pub struct Text {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        // A character that was cut in two makes this fail, and an empty text is refused like any other.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let mut text = Self { bytes: [0; CAPACITY], length: 0 };
        let (bytes, length) = (text.bytes.as_mut_ptr().cast(), &raw mut text.length);
        // SAFETY: napi calls this with a live environment and a value of it; the buffer has `CAPACITY` bytes,
        // of which napi writes at most that many, the terminator included, and reports how many.
        check_status!(unsafe { sys::napi_get_value_string_utf8(env, value, bytes, CAPACITY, length) })?;
        Ok(text)
    }
}
