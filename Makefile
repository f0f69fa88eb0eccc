.DEFAULT_GOAL := help
PYTHON ?= python3
TEST_ENV := .test-env
CHECK_ENV := .check-env
BENCH_ENV := .bench-env
INTEROP_ENV := .interop-env
LEAGUE_ENV := .league-env

.PHONY: help run test fuzz self check format readme causes lessons bench interop league clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

run: ## Start the server on port 8000
	$(PYTHON) -m sse_ref.server

# pytest is pure Python: one copy serves every interpreter, none of which is changed.
$(TEST_ENV): tests/requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target $(TEST_ENV) -r $<
	touch $@

test: $(TEST_ENV) ## Run the tests on every CPython from 3.11 that is installed
	$(PYTHON) tests/pythons.py $(TEST_ENV)

fuzz: $(TEST_ENV) ## Compare the decoder with the oracle on two million random streams
	PYTHONPATH=$(TEST_ENV) $(PYTHON) -m pytest -m slow

self: $(TEST_ENV) ## Judge this package's own decoder, encoder, client and server by the whole corpus
	PYTHONPATH=$(TEST_ENV) $(PYTHON) -m pytest -m slow -k test_self_passes_everything

$(CHECK_ENV): tests/requirements-check.txt
	$(PYTHON) -m venv $(CHECK_ENV)
	$(CHECK_ENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: $(CHECK_ENV) ## Types, lint and format
	$(CHECK_ENV)/bin/mypy
	$(CHECK_ENV)/bin/ruff check
	$(CHECK_ENV)/bin/ruff format --check

format: $(CHECK_ENV) ## Format the code
	$(CHECK_ENV)/bin/ruff check --fix
	$(CHECK_ENV)/bin/ruff format

readme: ## Write the generated tables, and the client cases of the quirks
	$(PYTHON) tests/quirk_cases.py --write
	$(PYTHON) tests/readme_tables.py --write
	$(PYTHON) tests/league/page.py --write

causes: $(TEST_ENV) ## Run the broken programs and write what each fails: by it the judge groups failures
	PYTHONPATH=$(TEST_ENV) $(PYTHON) tests/causes.py --write

lessons: ## Run the examples and write what they print into examples/README.md
	$(PYTHON) tests/lessons.py --write

# QUICK needs the environment of one interpreter, and the whole run those of all.
$(BENCH_ENV)/first $(BENCH_ENV)/all: tests/bench/environments.py
	$(PYTHON) $<
	touch $(BENCH_ENV)/first $@

bench: $(BENCH_ENV)/$(if $(QUICK),first,all) ## Speed beside what people use instead; then make readme. QUICK=1: only whether all of it runs
	$(BENCH_ENV)/0/bin/python tests/bench/run.py

$(INTEROP_ENV)/installed: tests/interop/environments.py
	$(PYTHON) $<
	touch $@

interop: $(INTEROP_ENV)/installed ## Run unmodified SDKs, curl and a browser against the server
	$(PYTHON) tests/interop/run.py

$(LEAGUE_ENV)/installed: tests/league/environments.py
	$(PYTHON) $<
	touch $@

league: $(LEAGUE_ENV)/installed ## Judge published programs of every kind, browsers and gateways among them; then make readme
	$(PYTHON) tests/league/run.py

clean: ## Remove what the targets installed
	rm -rf $(TEST_ENV) $(CHECK_ENV) $(BENCH_ENV) $(INTEROP_ENV) $(LEAGUE_ENV)
