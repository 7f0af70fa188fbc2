# The contract: generate from it (`protos`), check it (`protos-check`), its clients (`clients`). Included by the Makefile.
PYTHON ?= python3
NPM ?= npm
GEN_VENV := .venv-gen
GEN_READY := $(GEN_VENV)/.ready
TS := clients/typescript
TS_READY := $(TS)/node_modules/.ready

.PHONY: protos protos-check protos-baseline clients

$(GEN_READY): protos/requirements.txt
	$(PYTHON) -m venv --clear $(GEN_VENV)
	@if [ -x .venv/bin/uv ]; then \
	  .venv/bin/uv pip install -q --python $(GEN_VENV)/bin/python -r $<; \
	else $(GEN_VENV)/bin/python -m pip install -q --disable-pip-version-check -r $<; fi
	@touch $@

$(TS_READY): $(TS)/package.json
	cd $(TS) && $(NPM) install --no-audit --no-fund --loglevel=error
	@touch $@

# Regenerates everything that is committed; TypeScript only where `make clients` installed its generator before.
protos: $(GEN_READY)
	protos/generate.sh $(GEN_VENV) clients/python server/isthmusd/edge/isthmus.binpb
	@if [ -f $(TS_READY) ]; then protos/generate-typescript.sh $(GEN_VENV) $(TS)/src/gen; fi

# Lint, compatibility with the last release, and no difference between the contract and what is committed.
protos-check: $(GEN_READY)
	protos/check.sh $(GEN_VENV)

# At a release: what later changes are compared with.
protos-baseline: $(GEN_READY)
	$(GEN_VENV)/bin/buf build protos -o protos/baseline.binpb --as-file-descriptor-set --exclude-source-info

# Generates and type-checks the TypeScript client. Needs node and the npm registry.
clients: $(GEN_READY) $(TS_READY)
	protos/generate-typescript.sh $(GEN_VENV) $(TS)/src/gen
	cd $(TS) && $(NPM) run --silent check
