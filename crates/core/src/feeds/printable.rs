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

/// Whether a text out of a file may stand on a terminal and in a log as it is: nothing in it is obeyed, or turns around
/// what stands beside it.
pub(super) fn is_printable(text: &str) -> bool {
    !text.contains(|character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_may_stand_as_they_are() {
        for text in ["", "Société Générale", "\u{623}\u{633}\u{645}", "(c) \u{a9} 2026"] {
            assert!(is_printable(text), "{text}");
        }
        for text in ["a\nb", "a\u{1b}[31m", "a\u{202e}b", "a\u{2066}b", "a\u{2028}b", "a\u{7f}"] {
            assert!(!is_printable(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_shown_short_and_without_what_a_terminal_obeys() {
        assert_eq!(printable("  198.51.100.7 # a\u{1b}[31m\u{202e}\u{e9}\n"), "198.51.100.7 # a?[31m??");
        assert_eq!(printable(&"x".repeat(MOST_SHOWN)), "x".repeat(MOST_SHOWN));
        assert_eq!(printable(&"\u{20ac}".repeat(500)), format!("{}...", "?".repeat(MOST_SHOWN)));
    }
}
