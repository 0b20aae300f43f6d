# Everything a person types. `make demo` and `make test` need Python 3.11+ and nothing else.
# Programs are put into .venv from the pinned files; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-config --no-header

# Where this is set, each of the programs that the tests start would compile the libraries anew: a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test test-versions e2e format bench simulate faults storm soak incidents fuzz pins release audit clean

demo: $(VENV)/runtime
	$(BIN)/python -m monitor demo

run: $(VENV)/runtime
	$(BIN)/python -m monitor run

# Beside mypy, which has one core, each test module is compiled once instead of by each of the four processes.
test: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --collect-only --quiet > $(VENV)/collected & $(BIN)/mypy; status=$$?; wait; exit $$status
	$(BIN)/python -m pytest -m "not storm and not e2e and not long" --numprocesses 4 --dist worksteal

# Three monitors, a real Prometheus and a real Alertmanager, for a minute.
e2e: $(VENV)/dev
	$(BIN)/python -m pytest -m e2e tests/e2e

# The lowest and the newest version that pyproject.toml allows of each library, with the tests that touch them.
test-versions: $(VENV)/dev
	$(PIP) uv
	for versions in lowest-direct highest; do \
	  $(PYTHON) -m venv --clear $(VENV)/$$versions && \
	  $(BIN)/uv pip install --quiet --no-config --python $(VENV)/$$versions/bin/python --resolution $$versions --editable . && \
	  $(BIN)/uv pip install --quiet --no-config --python $(VENV)/$$versions/bin/python pytest hypothesis trustme redis jsonschema && \
	  $(VENV)/$$versions/bin/python -m pytest -W default tests/test_private_places.py tests/checks tests/lib tests/config \
	    tests/sandbox tests/alerts tests/web/test_answers.py tests/cli/test_check.py || exit 1; \
	done

# Everything that the program must get over, one fault after the other, networks of its own included; ten minutes.
# Writes docs/reliability.md. FULL=1: with the storm.
faults: $(VENV)/dev
	$(BIN)/python -m tools.reliability $(if $(FULL),--full)

# Four hundred kills of the whole program, half of them on a disk that is often full (mounts a small one); and a
# thousand of its store and deliveries. At random instants.
storm: $(VENV)/dev
	$(BIN)/python -m pytest -m storm

# An hour with a hundred databases and all faults in rotation; MINUTES=5: less. Writes docs/bench/soak.md and .svg.
soak: $(VENV)/dev
	$(BIN)/python -m bench.soak $(or $(MINUTES),60)

# Six hours with ten incidents, and what memory they leave behind; MINUTES=5: less. Writes docs/bench/incidents.md.
incidents: $(VENV)/dev
	$(BIN)/python -m bench.incidents $(or $(MINUTES),360)

# Every property with new random examples, as many as three minutes allow; `make test` has the same ones each time.
fuzz: $(VENV)/dev
	$(BIN)/python -m pytest -m "hypothesis and not storm" --hypothesis-profile fuzz --numprocesses 4

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev
	$(BIN)/python -m bench --docs docs

# Alert rules, ours and the peers', in months of virtual time; writes docs/alerting.md. FULL=1: five times as many.
simulate: $(VENV)/dev
	$(BIN)/python -m bench.alerting $(if $(FULL),--full)

# Resolve the ranges of pyproject.toml anew.
pins: $(VENV)/dev
	$(PIP) uv
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt

# Wheel and sdist in dist/; beside them, in build/release/, the bill of materials and the licences of what is pinned.
release: $(VENV)/release-tools
	rm -rf dist build/release && mkdir -p build/release
	$(VENV)/release-tools/bin/python -m build --outdir dist
	$(PYTHON) -m venv --clear --without-pip $(VENV)/release
	$(VENV)/release-tools/bin/python -m pip --python $(VENV)/release/bin/python install --quiet --require-hashes \
	  --requirement requirements.txt
	$(VENV)/release-tools/bin/python -m pip --python $(VENV)/release/bin/python install --quiet --no-deps dist/*.whl
	@# The version is in the package, where cyclonedx-py does not look.
	sed "s/^dynamic = .*/version = \"$$($(VENV)/release/bin/python -c 'import monitor; print(monitor.__version__)')\"/" \
	  pyproject.toml > build/pyproject.toml
	$(VENV)/release-tools/bin/cyclonedx-py environment --pyproject build/pyproject.toml --output-reproducible \
	  --output-file build/release/sbom.cdx.json $(VENV)/release/bin/python
	$(VENV)/release-tools/bin/pip-licenses --python $(VENV)/release/bin/python --from mixed --format csv \
	  --output-file build/release/licences.csv

# What is known to be vulnerable among the pinned; asks a public database, and fails where that cannot be reached.
audit: $(VENV)/release-tools
	@found=$$($(VENV)/release-tools/bin/pip-audit --strict --require-hashes --disable-pip \
	  --requirement requirements.txt 2>&1); status=$$?; echo "$$found"; \
	case $$found in *"nown vulnerabilit"*) ;; *) echo "wanted the database of known vulnerabilities, found no answer of it," \
	  "so nothing is known of the pinned versions. Next: make audit where the public package index can be reached" >&2;; \
	esac; exit $$status

$(VENV)/release-tools: | $(VENV)/bin/python
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check build cyclonedx-bom pip-licenses pip-audit

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("wanted Python 3.11 or newer, found " + sys.version.split()[0] + ". Next: make PYTHON=python3.12 …")'
	@# What is left of one without pip (Debian: without python3-venv) would be taken for whole the next time.
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/runtime: requirements.txt | $(VENV)/bin/python
	$(PIP) --require-hashes --requirement requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) --require-hashes --requirement requirements-dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/runtime
