//! Errors of the core as JavaScript errors with a `code`.

use ip_risk_core::error::{Code, Error};

/// The code as napi wants it: what `error.code` will hold.
pub struct Status(Code);

impl AsRef<str> for Status {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

/// What methods return that can be used wrongly.
pub type Result<T> = std::result::Result<T, napi::Error<Status>>;

pub(crate) fn coded(error: &Error) -> napi::Error<Status> {
    napi::Error::new(Status(error.code()), error)
}

pub(crate) fn closed() -> napi::Error<Status> {
    coded(&Error::new(Code::Closed, "the checker is closed; make a new one"))
}

pub(crate) fn internal(what: &str) -> napi::Error<Status> {
    coded(&Error::new(Code::Internal, what))
}
