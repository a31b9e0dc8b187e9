# Two commands: `make run` and `make test`. Both set up what they need and show progress.

SHELL := /bin/bash
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / — /'

run: setup-rust ## build the release binary and start Sextant on examples/quickstart
	SEXTANT_COMMIT="$$(git rev-parse --short HEAD 2>/dev/null)" cargo build --release --package sextant
	$${CARGO_TARGET_DIR:-target}/release/sextant serve --config examples/quickstart/sextant.yml

test: setup-rust setup-test ## set up and run every test
	cargo xtask ci

setup-rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from rustup.rs, then run make again" >&2; exit 1; }

setup-test: setup-rust
	@bash tests/setup

.PHONY: help run test setup-rust setup-test
