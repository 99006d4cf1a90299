//! Which columns find room, and where the reason stands.
//!
//! # Invariants
//! The verdict and the remote address are never dropped.

/// Blanks between columns.
pub const GAP: usize = 2;

/// What may be shown: how wide, and how soon it goes where room is short (0 never does).
#[derive(Debug, Clone, Copy)]
pub struct Want {
    pub width: usize,
    pub rank: usize,
}

/// The ranks that stay whatever the room.
const FIXED: usize = 1;

/// What is shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the columns wanted, which; `None` in place of one that is not.
    pub columns: Vec<bool>,
    /// Whether the reason is the last column; else it stands on a line of its own.
    pub why_beside: bool,
}

/// Fits columns into `room`; `None` is room without end. The reason is a column if that leaves
/// place for every column that outranks it.
pub fn fit(columns: &[Want], why: Want, room: Option<usize>) -> Layout {
    let Some(room) = room else {
        return Layout {
            columns: vec![true; columns.len()],
            why_beside: true,
        };
    };
    let beside = fill(columns, room.saturating_sub(why.width + GAP));
    let why_beside = columns
        .iter()
        .zip(&beside.shown)
        .all(|(column, shown)| *shown || column.rank >= why.rank)
        && beside.used + GAP + why.width <= room;
    Layout {
        columns: if why_beside {
            beside.shown
        } else {
            fill(columns, room).shown
        },
        why_beside,
    }
}

struct Filled {
    shown: Vec<bool>,
    used: usize,
}

/// Takes columns by rank for as long as they fit; one that does not makes way for narrower ones.
fn fill(columns: &[Want], room: usize) -> Filled {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let mut filled = Filled {
        shown: vec![false; columns.len()],
        used: 0,
    };
    for index in by_rank {
        let Want { width, rank } = columns[index];
        let gap = if filled.used == 0 { 0 } else { GAP };
        if rank <= FIXED || filled.used + gap + width <= room {
            filled.shown[index] = true;
            filled.used += gap + width;
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(widths: &[usize], why: (usize, usize), room: Option<usize>, expected: (&[u8], bool)) {
        let columns: Vec<Want> = widths
            .iter()
            .enumerate()
            .map(|(rank, &width)| Want { width, rank })
            .collect();
        let why = Want {
            width: why.0,
            rank: why.1,
        };
        let columns_shown = expected.0.iter().map(|shown| *shown == 1).collect();
        let expected = Layout {
            columns: columns_shown,
            why_beside: expected.1,
        };
        assert_eq!(fit(&columns, why, room), expected, "{room:?}");
    }

    #[test]
    fn what_fits() {
        let widths = [10, 10, 10, 10];
        // Ranks 0 to 2 outrank the reason; the last column does not.
        let why = (20, 3);
        let columns = |widths: &[usize]| widths.to_vec();
        let widths = columns(&widths);
        check(&widths, why, None, (&[1, 1, 1, 1], true));
        check(&widths, why, Some(68), (&[1, 1, 1, 1], true));
        check(&widths, why, Some(67), (&[1, 1, 1, 0], true));
        check(&widths, why, Some(56), (&[1, 1, 1, 0], true));
        check(&widths, why, Some(55), (&[1, 1, 1, 1], false));
        check(&widths, why, Some(45), (&[1, 1, 1, 0], false));
        check(&widths, why, Some(33), (&[1, 1, 0, 0], false));
        // The first two stay, come what may.
        check(&widths, why, Some(0), (&[1, 1, 0, 0], false));
    }

    #[test]
    fn a_column_too_wide_makes_way_for_narrower_ones() {
        check(&[10, 10, 50, 5], (20, 9), Some(40), (&[1, 1, 0, 1], false));
    }
}
