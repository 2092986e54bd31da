# Every target sets up what it needs in ./.venv and says what it does; `make help` lists them.

TRAIN ?= 1
ONLY ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo test check bench figures demo-bundle deb
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
