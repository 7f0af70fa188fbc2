# The benchmark (bench/README.md). BENCH_ARGS: --quick, --only isthmus,envoy, --strict.
# TRANSLATION_ARGS: --quick, --only anthropic,gemini, --strict, --profile.
# CACHING_ARGS: --quick, --only memory,sqlite,valkey, --strict.
.PHONY: bench bench-translation bench-cache bench-peers

bench:
	.venv/bin/python -m bench.run $(BENCH_ARGS)
	.venv/bin/python -m bench.translation $(TRANSLATION_ARGS)
	.venv/bin/python -m bench.caching $(CACHING_ARGS)

bench-translation: $(STAMPS)/test
	.venv/bin/python -m bench.translation $(TRANSLATION_ARGS)

bench-cache: $(STAMPS)/test
	.venv/bin/python -m bench.caching $(CACHING_ARGS)

# Other gateways, each in an environment of its own: they are never installed beside Isthmus.
bench-peers:
	for peer in 'litellm litellm[proxy]==1.106.2' 'tensorzero tensorzero==2026.6.0' 'smg smg==1.13.0'; do \
	  set -- $$peer; python3 -m venv bench/.peers/$$1 && bench/.peers/$$1/bin/pip install -q "$$2" || exit 1; \
	done
	mkdir -p bench/.peers/portkey
	cp bench/adapters/portkey.json bench/.peers/portkey/package.json
	npm install --silent --prefix bench/.peers/portkey
