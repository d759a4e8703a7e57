//! Links the addon the way Node.js expects it.

fn main() {
    napi_build::setup();
}
