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
    /// The columns by which the event with this index is found are not what it says.
    Columns(u64),
    /// An event has an index that the log has not.
    Outside(i64),
    /// Events wait for a checkpoint, and none can be made.
    Stalled,
    /// An event was changed by the database that was to keep it.
    Altered,
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
            Self::Columns(_) => "columns",
            Self::Outside(_) => "outside",
            Self::Stalled => "stalled",
            Self::Altered => "altered",
        }
    }

    /// The index that it is about.
    pub const fn seq(self) -> Option<u64> {
        match self {
            Self::Edge | Self::Signature | Self::RolledBack | Self::Outside(_) | Self::Stalled | Self::Altered => None,
            Self::Tile(seq) | Self::Missing(seq) | Self::Changed(seq) | Self::Columns(seq) => Some(seq),
        }
    }

    /// Whether the newest checkpoint itself cannot be relied on.
    pub const fn is_of_head(self) -> bool {
        matches!(self, Self::Edge | Self::Signature | Self::RolledBack)
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
            Self::Columns(_) => "an event is not found by what it says, at index",
            Self::Outside(seq) => return format!("an event has an index that the log has not: {seq}"),
            Self::Stalled => "events wait for a checkpoint, and none can be made",
            Self::Altered => "the database has changed an event that it was to keep",
        };
        self.seq().map_or_else(|| text.to_owned(), |seq| format!("{text} {seq}"))
    }
}
