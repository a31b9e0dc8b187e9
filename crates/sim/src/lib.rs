//! The seeded simulator: clock, disk and crashes under one seed.
