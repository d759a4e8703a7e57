//! What to do about a code, where the core's words are those of another face.

use ip_risk_core::error::Code;

pub(crate) fn for_python(code: Code) -> &'static str {
    match code {
        Code::Timeout => "the provider did not answer within `deadline`",
        Code::Overloaded => "more look-ups are under way than `max_in_flight` allows",
        Code::NoSource => {
            "without a key only feeds are asked, and they may not clear this policy: set `IPGEO_API_KEY`, or write \
             `feeds={'primary': True}`"
        }
        Code::Redis => {
            "the shared cache on Redis cannot be used, and decisions go on without it; a `budget` that processes share \
             could not be asked, so that only what is leased of it is looked up; see `stats()['redis']`"
        }
        Code::Route => {
            "a policy names routes, but the route of the gate is not known, so that none of them applies; write the \
             option `route`"
        }
        Code::UnverifiedLimit => {
            "too many look-ups for addresses that anybody could have written; trust your proxies and nobody else"
        }
        Code::TrustAll => {
            "the server takes forwarded addresses from everybody, so that any client can choose its address; name the \
             addresses of your proxies, for example `uvicorn --forwarded-allow-ips=10.0.0.5`"
        }
        Code::UntrustedForwarded => {
            "requests are forwarded, yet their client address is a private one or none, so that all clients look alike; \
             wrap the application, as in `app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)`, or name your proxies in uvicorn's \
             `--forwarded-allow-ips`"
        }
        _ => code.advice(),
    }
}
