# SPDX-License-Identifier: Apache-2.0
# The few commands one types. Each is a thin name for a script under scripts/, which also works on
# its own; the build itself is CMake's (CMakePresets.json: release, asan, dev, clang, fuzz).
.DEFAULT_GOAL := help
.PHONY: help deps build run test lint bench soak fuzz image image-test manifests-check clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

deps: ## Install what the targets below need, from Debian packages (root or sudo)
	@scripts/install-deps.sh all

build: ## Build the server into build/release/bin
	@scripts/install-deps.sh build
	@scripts/build.sh release

run: ## Build, then serve the example panels on 127.0.0.1:3000
	@scripts/run.sh

test: ## Run all tests, on the release build and under sanitizers
	@scripts/test.sh

lint: ## Check format and static analysis, and build with gcc and clang, warnings as errors
	@scripts/lint.sh

bench: ## Measure speed and memory
	@scripts/bench.sh

soak: ## Mixed load for SOAK_MINUTES (30) while processes are killed: what grew, what was lost
	@scripts/soak.sh

manifests-check: ## Hold the Kubernetes manifests against what makes them hardened, item by item
	@scripts/install-deps.sh test
	@scripts/deploy-tools.sh
	@scripts/check-manifests.py deploy/k8s/overlays/*

fuzz: ## Fuzz every target for FUZZ_SECONDS (60)
	@scripts/fuzz.sh

image: ## Build the container image with podman or docker
	@scripts/image.sh

image-test: ## Run the image as production does and attack it
	@scripts/image-test.sh

clean: ## Remove build/
	@rm -rf build
