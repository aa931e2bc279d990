//! What a check of a log can find.

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The partial tiles do not have the root that the newest checkpoint says.
    Edge,
    /// The newest checkpoint has no signature of the log's key.
    Signature,
    /// The newest checkpoint is not a successor of one that was there before.
    RolledBack,
    /// The tile that has this index is gone, or does not have the hash that the tree has of it.
    Tile(u64),
    /// The event with this index is gone before its time.
    Missing(u64),
    /// The event with this index is not the one that was logged.
    Changed(u64),
}

impl Problem {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Signature => "signature",
            Self::RolledBack => "rolled_back",
            Self::Tile(_) => "tile",
            Self::Missing(_) => "missing",
            Self::Changed(_) => "changed",
        }
    }

    /// The index that it is about.
    pub const fn seq(self) -> Option<u64> {
        match self {
            Self::Edge | Self::Signature | Self::RolledBack => None,
            Self::Tile(seq) | Self::Missing(seq) | Self::Changed(seq) => Some(seq),
        }
    }

    /// For people.
    pub fn to_text(self) -> String {
        let text = match self {
            Self::Edge => "the partial tiles do not have the root of the newest checkpoint",
            Self::Signature => "the newest checkpoint is not signed by the key of the log",
            Self::RolledBack => "the newest checkpoint does not follow one that was there before",
            Self::Tile(_) => "a tile is gone or changed, at index",
            Self::Missing(_) => "an event is gone before its time, at index",
            Self::Changed(_) => "an event was changed, at index",
        };
        self.seq().map_or_else(|| text.to_owned(), |seq| format!("{text} {seq}"))
    }
}
