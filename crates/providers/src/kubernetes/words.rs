//! What others say, fit for a line.

/// A text without line breaks and the like, of at most so many characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let printable = text.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    printable.take(most).collect()
}
