//! Text out of a file in a message.

/// How many characters of it are shown.
const MOST_SHOWN: usize = 120;

/// A text out of a file as it may stand in a message: shortened, and without what a terminal or a log would obey.
pub(super) fn printable(text: &str) -> String {
    let mut characters = text.trim().chars();
    let is_plain = |character: &char| *character == ' ' || character.is_ascii_graphic();
    let mut shown: String = characters
        .by_ref()
        .take(MOST_SHOWN)
        .map(|character| if is_plain(&character) { character } else { '?' })
        .collect();
    if characters.next().is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_short_and_without_what_a_terminal_obeys() {
        assert_eq!(printable("  198.51.100.7 # a\u{1b}[31m\u{202e}\u{e9}\n"), "198.51.100.7 # a?[31m??");
        assert_eq!(printable(&"x".repeat(MOST_SHOWN)), "x".repeat(MOST_SHOWN));
        assert_eq!(printable(&"\u{20ac}".repeat(500)), format!("{}...", "?".repeat(MOST_SHOWN)));
    }
}
