//! The Plimsoll VFS as a loadable SQLite extension.
