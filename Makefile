# Every target sets up what it needs in ./.venv and says what it does; `make help` lists them.

TRAIN ?= 1
ONLY ?=
MINUTES ?= 10
FIGURES ?= 0
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test check soak bench figures demo-bundle deb audit sbom
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## train, ship and run a model on Tennessee Eastman data, to the alarm (TRAIN=0: committed model, no torch)
ifeq ($(TRAIN),0)
	@scripts/setup box
	@stethos demo --no-train --out build/demo
else
	@scripts/setup train
	@stethos demo --out build/demo
endif

test: ## set up everything and pass every check and test
	@scripts/setup dev
	@scripts/check

check: test ## the same as test

soak: ## run the daemon with 50 devices while everything around it fails (MINUTES=10; FIGURES=1: into docs/figures.json)
	@scripts/setup dev
	@python -m tests.soak $(MINUTES) --out build/soak $(if $(filter 1,$(FIGURES)),--figures)
ifeq ($(FIGURES),1)
	@scripts/figures
endif

bench: ## measure into docs/figures.json and the tables (ONLY=pipeline: one group)
	@scripts/setup dev
	@python -m tests.bench $(ONLY)
	@scripts/figures

figures: ## write the tables of README.md and docs/ from docs/figures.json
	@scripts/setup box
	@scripts/figures

demo-bundle: ## train and sign the demo's committed bundle again
	@scripts/setup train
	@scripts/make-demo-bundle

deb: ## build the Debian package for this machine's release and processor into build/deb
	@scripts/setup box
	@scripts/deb

audit: ## hold every pinned version against known advisories (exit code 3: the service was not reached)
	@scripts/setup dev
	@scripts/audit

sbom: ## write what a box installs into build/sbom.cdx.json, as CycloneDX
	@scripts/setup dev
	@scripts/sbom
