//! The direction of the layers: what core, the Node face and its glue may know of.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The files under a directory of the repository with one of these extensions, and what is in them.
fn files(directory: &str, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "nothing to look at in `{directory}`");
    found
}

/// The lines that `is_wrong`, with where they are.
fn lines(files: &[(PathBuf, String)], is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let of = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().enumerate().filter(|(_, line)| is_wrong(line));
        lines.map(|(number, line)| format!("{}:{}: {line}", path.display(), number + 1)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

/// Whether `word` stands in `text` and not inside a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    })
}

/// Core's sources without their tests, which may do what they like.
fn core_sources() -> Vec<(PathBuf, String)> {
    let mut sources = files("crates/core/src", &["rs"]);
    for (_, text) in &mut sources {
        if let Some(tests) = text.find("#[cfg(test)]\n") {
            text.truncate(tests);
        }
    }
    sources
}

#[test]
fn core_depends_on_no_face() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "-p", "ip-risk-core", "-e", "normal", "--offline", "--prefix", "none"])
        .current_dir(root())
        .output()
        .expect("`cargo tree` runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"ip-risk-core") && names.contains(&"reqwest"), "{tree}");
    for name in names {
        let is_face =
            ["napi", "pyo3", "ip-risk-node", "ip-risk-python"].iter().any(|face| name.starts_with(face));
        assert!(!is_face, "core depends on `{name}`");
    }
}

#[test]
fn core_reads_no_environment() {
    // `env!` is read when the package is built, not when it runs.
    let is_wrong = |line: &str| {
        let uses = ["std::env", "env::var", "env::args", "env::vars", "env::current_dir", "option_env!"];
        uses.iter().any(|name| line.contains(name)) || (line.contains("use std::{") && has_word(line, "env"))
    };
    assert_eq!(lines(&core_sources(), is_wrong), [""; 0]);
}

#[test]
fn core_has_no_global_that_changes() {
    let changes =
        ["Mutex", "RwLock", "Atomic", "Cell", "OnceLock", "LazyLock", "LazyCell", "OnceCell", "lazy_static"];
    let mut wrong = Vec::new();
    for (path, text) in core_sources() {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (at, _) in code.match_indices("static ") {
            let is_lifetime = code[..at].ends_with('\'');
            let item = code[at..].split([';', '{']).next().unwrap();
            if !is_lifetime
                && (item.starts_with("static mut") || changes.iter().any(|word| item.contains(word)))
            {
                wrong.push(format!("{}: {item}", path.display()));
            }
        }
        if code.contains("thread_local!") || code.contains("lazy_static!") {
            wrong.push(format!("{}: a thread's or lazy global", path.display()));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn faces_know_nothing_of_connections_and_caches() {
    // `redis` is also what users call the shared cache.
    let is_wrong = |line: &str| ["reqwest::", "redis::", "moka::"].iter().any(|path| line.contains(path));
    for directory in ["src", "python/src"] {
        assert_eq!(lines(&files(directory, &["rs"]), is_wrong), [""; 0]);
    }
}

#[test]
fn the_python_glue_imports_frameworks_only_where_it_is_for_them() {
    let is_wrong = |line: &str| {
        let imports = line.trim_start().starts_with("from ") || line.trim_start().starts_with("import ");
        let is_of =
            |name: &&str| ["from ", "import "].iter().any(|word| line.contains(&format!("{word}{name}")));
        imports
            && !line.contains("ip_risk")
            && ["flask", "werkzeug", "fastapi", "starlette"].iter().any(is_of)
    };
    let mut glue = files("python/python/ip_risk", &["py"]);
    glue.retain(|(path, _)| !path.ends_with("flask.py"));
    assert_eq!(lines(&glue, is_wrong), [""; 0]);
    assert!(is_wrong("from flask import g") && is_wrong("    import starlette.requests"));
    assert!(!is_wrong("from ip_risk import flask"));
}

/// Whether a line loads one of the packages, or a part of one.
fn loads(line: &str, packages: &[&str]) -> bool {
    let loading = ["require(", "require.resolve(", "import(", "from ", "import "];
    packages.iter().any(|package| {
        ["'", "\"", "`"].iter().any(|quote| {
            let whole = format!("{quote}{package}{quote}");
            let part = format!("{quote}{package}/");
            loading.iter().any(|load| {
                line.contains(&format!("{load}{whole}")) || line.contains(&format!("{load}{part}"))
            })
        })
    })
}

#[test]
fn the_glue_loads_no_framework() {
    let frameworks = ["express", "express4", "fastify", "koa"];
    // What only types speak of is not loaded.
    let is_wrong = |line: &str| !line.trim_start().starts_with('*') && loads(line, &frameworks);
    for directory in ["lib", "bin"] {
        assert_eq!(lines(&files(directory, &["js", "mjs", "cjs"]), is_wrong), [""; 0]);
    }
    assert!(is_wrong("const express = require('express')"));
    assert!(is_wrong("import koa from \"koa\""));
    assert!(is_wrong("await import('fastify/plugin')"));
    assert!(!is_wrong("const { handle } = require('./express.js')"));
}
