//! What a key may be called.

/// Whether a key may bear this name: not empty, no white space as Unicode defines it, no control character that notes refuse,
/// no `+`.
pub fn is_key_name(name: &str) -> bool {
    let refused = |character: char| character < ' ' || character == '+' || character.is_whitespace();
    !name.is_empty() && !name.contains(refused)
}
