//! PackBits: TIFF 6.0, section 9.

/// Unpacks runs until `out` is full or `input` ends; returns the bytes written.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> usize {
    let wanted = out.len();
    let (mut input, mut out) = (input, out);
    while let Some((&control, rest)) = input.split_first() {
        if out.is_empty() {
            break;
        }
        input = match control {
            // Does nothing.
            128 => rest,
            0..=127 => {
                let n = (usize::from(control) + 1).min(rest.len()).min(out.len());
                let (from, rest) = rest.split_at(n);
                let (to, left) = out.split_at_mut(n);
                to.copy_from_slice(from);
                out = left;
                rest
            }
            129..=255 => {
                let Some((&value, rest)) = rest.split_first() else {
                    break;
                };
                let n = (257 - usize::from(control)).min(out.len());
                let (to, left) = out.split_at_mut(n);
                to.fill(value);
                out = left;
                rest
            }
        };
    }
    wanted - out.len()
}
