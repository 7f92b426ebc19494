//! How much is measured.

use std::{path::PathBuf, time::Duration};

use crate::load::Span;

const USAGE: &str = "usage: cargo bench --bench compare -- [--quick | --full] [--only SECTION] [--markdown FILE] | --instructions [--keep]";

/// What the caller asks for.
pub(crate) enum Wish {
    Nothing,
    Instructions {
        /// Whether the new counts replace the kept ones.
        keep: bool,
    },
    Everything {
        plan: Plan,
        /// The only section that is measured; all of them when it is absent.
        only: Option<String>,
        /// Where the table is written as Markdown.
        markdown: Option<PathBuf>,
    },
}

impl Wish {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut asked, mut instructions, mut keep) = (false, false, false);
        let mut plan = Plan::usual();
        let (mut only, mut markdown) = (None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => asked = true,
                "--quick" => plan = Plan::quick(),
                "--full" => plan = Plan::full(),
                "--instructions" => instructions = true,
                "--keep" => keep = true,
                "--only" => only = Some(arguments.next().ok_or(USAGE)?),
                "--markdown" => markdown = Some(arguments.next().ok_or(USAGE)?.into()),
                // What `cargo test` gives to every target is not for this one.
                _ if !asked => {}
                other => return Err(format!("{other}: unknown; {USAGE}")),
            }
        }
        Ok(match (asked, instructions) {
            (false, _) => Self::Nothing,
            (true, true) => Self::Instructions { keep },
            (true, false) => Self::Everything {
                plan,
                only,
                markdown,
            },
        })
    }
}

/// How much of each is measured.
pub(crate) struct Plan {
    /// The words that ask for it.
    pub(crate) name: &'static str,
    /// How long each figure of creates in flight is measured.
    pub(crate) span: Span,
    /// Pairs, or rounds, that a ratio is the median of.
    pub(crate) pairs: usize,
    /// Consignments that are loaded and listed in one go.
    pub(crate) bulk: u64,
    /// How much the registers hold whose costs are compared, ascending.
    pub(crate) sizes: Vec<u64>,
    /// How often a whole list is repeated.
    pub(crate) lists: usize,
    /// How often a first page is asked for.
    pub(crate) lookups: usize,
    /// How often a server is started on each register.
    pub(crate) starts: usize,
    /// Creates that instructions are counted of.
    pub(crate) counted: u64,
    /// How often they are counted.
    pub(crate) counts: usize,
}

impl Plan {
    fn quick() -> Self {
        Self {
            name: "quick: a trial of the measuring, whose figures say nothing",
            span: Span {
                warm_up: Duration::from_millis(50),
                time: Duration::from_millis(150),
            },
            pairs: 2,
            bulk: 2_000,
            sizes: vec![1_000, 10_000],
            lists: 1,
            lookups: 20,
            starts: 2,
            counted: 100,
            counts: 1,
        }
    }

    pub(crate) fn usual() -> Self {
        Self {
            name: "usual, up to 1,000,000 consignments",
            span: Span {
                warm_up: Duration::from_millis(300),
                time: Duration::from_secs(2),
            },
            pairs: 5,
            bulk: 1_000_000,
            sizes: vec![10_000, 1_000_000],
            lists: 3,
            lookups: 200,
            starts: 10,
            counted: 200,
            counts: 3,
        }
    }

    fn full() -> Self {
        Self {
            name: "full, up to 10,000,000 consignments",
            sizes: vec![10_000, 1_000_000, 10_000_000],
            ..Self::usual()
        }
    }
}
