//! What the JavaScript constructor hands over, as one JSON text.

use ip_risk_core::error::{Code, Error};
use ip_risk_core::feeds::options::FeedOptions;
use ip_risk_core::options::{CheckerOptions, Surroundings};
use ip_risk_core::secret::Secret;
use ip_risk_core::spelling::Spelling;
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
        let is_testing = setup["testing"] == Value::Bool(true);
        let surroundings =
            Surroundings { lift_documentation: is_testing, ..surroundings(&setup["surroundings"]) };
        let mut options = CheckerOptions::read(&setup["options"], surroundings)?;
        options.engine.feeds.iter_mut().for_each(FeedOptions::make_absolute);
        Ok(Self { options, has_adjustable_clock: is_testing })
    }
}

/// What `lib/surroundings.js` found around the process.
pub(crate) fn surroundings(found: &Value) -> Surroundings {
    let text = |name: &str| found[name].as_str();
    Surroundings {
        api_key: text("apiKey").map(Secret::new),
        redis_url: text("redisUrl").map(Secret::new),
        mode: text("mode").map(str::to_owned),
        extra_roots: text("extraRoots").map(str::to_owned),
        https_proxy: text("httpsProxy").map(Secret::new),
        no_proxy: text("noProxy").map(str::to_owned),
        seed: text("seed").map(Into::into),
        feeds: text("feeds").map(Into::into),
        lift_documentation: false,
        spelling: Spelling::Camel,
    }
}
