//! What the JavaScript constructor hands over, as one JSON text.

use ip_risk_core::error::{Code, Error};
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::secret::Secret;
use serde_json::Value;

/// `{ options, surroundings, testing }`, written by `lib/checker.js`.
pub(crate) struct Setup {
    pub(crate) options: CheckerOptions,
    /// Whether the clock can be moved, which only `ip-risk/testing` asks for.
    pub(crate) has_adjustable_clock: bool,
}

impl Setup {
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let setup: Value = serde_json::from_str(text)
            .map_err(|_| Error::new(Code::Option, "`options` are nested too deeply"))?;
        let surrounding = |name: &str| setup["surroundings"][name].as_str();
        let secret = |name| surrounding(name).map(Secret::new);
        let is_testing = setup["testing"] == Value::Bool(true);
        let surroundings = Surroundings {
            api_key: secret("apiKey"),
            mode: surrounding("mode").map(str::to_owned),
            extra_roots: surrounding("extraRoots").map(str::to_owned),
            https_proxy: secret("httpsProxy"),
            no_proxy: surrounding("noProxy").map(str::to_owned),
            lift_documentation: is_testing,
        };
        let options = CheckerOptions::read(&setup["options"], surroundings)?;
        Ok(Self { options, has_adjustable_clock: is_testing })
    }
}
