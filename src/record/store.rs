//! Records on disk: JSON Lines, one record a line, each written as soon as its trial ends.
