//! The macro that makes the enum of reasons and its map to the wire out of one table, and the wire form.

/// The wire form of a [`Reason`](super::Reason).
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// HTTP status.
    pub status: u16,
    /// The `error` code.
    pub code: &'static str,
    /// The `error_description`: constant.
    pub description: &'static str,
    /// The document and section that ask for it.
    pub source: &'static str,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $status:literal $code:literal $description:literal [$source:literal];)+) => {
        /// Why a request was refused. Variants carry no data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The wire form.
            pub const fn wire(self) -> Wire {
                match self { $(Self::$name => Wire {
                    status: $status, code: $code, description: $description, source: $source,
                },)+ }
            }

            /// The name in the log and in audit events.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

pub(super) use reasons;
