//! Fixtures and golden runners for tests.
