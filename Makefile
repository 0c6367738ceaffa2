# Two commands do all the set-up on a machine with Python 3.11 to 3.13, and are fast when run again:
#   make demo   creates .venv, installs, runs the whole job on real recordings
#   make test   creates .venv, installs what the tests need, runs lint, types and tests
# and for work on the code:
#   make quick  the same without the tests that are marked slow
#
# Variables:
#   PYTHON          the interpreter that makes .venv (the first fitting one of python3.11 ... python3)
#   PIP_TORCH_ARGS  extra arguments for installing torch. On Linux the usual torch is the CUDA build, several GB. For
#                   the CPU build, give pip the CPU index named on torch's own installation page:
#                   make demo PIP_TORCH_ARGS="--index-url ADDRESS"
#   CHROMIUM        the browser that the tests of pages drive, where it has another name
#   ARGS            passed on: make demo ARGS="--folder DIR"; make bench-curate ARGS=...

PYTHON ?=
PIP_TORCH_ARGS ?=
CHROMIUM ?=
ARGS ?=

export CHROMIUM

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test quick bench-curate bench-panns bench-cascade bench-quality bench-duplicates bench-annotate bench-proxies bench-frames bench-cache bench-fd bench-adapters bench-sampling bench-seams bench-conditions bench-review bench-replay bench-cases bench-clips bench-purity browser label-studio clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.core
	$(BIN)/lpse demo $(ARGS)

quick: ARGS += -m "not slow"
test quick: $(VENV)/.dev browser label-studio
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

bench-curate bench-panns bench-cascade bench-quality bench-duplicates bench-annotate bench-proxies bench-frames bench-cache bench-fd bench-adapters bench-sampling bench-seams bench-conditions bench-review bench-replay bench-cases bench-clips bench-purity: bench-%: $(VENV)/.dev
	$(BIN)/python -m tests.bench.$* $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
	@echo "left alone: $(VENV) (remove it for a fresh installation) and lpse-demo"

# A rule's file is touched last: a run that was interrupted starts its step again. Each names pyproject.toml, so a
# change there installs anew.

as_root = $$(test "$$(id -u)" = 0 || echo sudo)

$(VENV)/.created:
	@python=$$(for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	    && { echo "$$candidate"; break; }; done); \
	test -n "$$python" || { echo "lpse needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=..."; exit 1; }; \
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  command -v apt-get >/dev/null || { echo "$$python has no venv module: install it"; exit 1; }; \
	  $(as_root) apt-get update && $(as_root) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "python$$version-venv" || exit 1; \
	fi; \
	echo "$$python -m venv $(VENV)"; "$$python" -m venv $(VENV)
	@touch $@

# torch first and by itself, so that PIP_TORCH_ARGS concerns nothing else. setuptools is here because the editable
# install below builds in this environment: an isolated one would be fetched anew each time.
$(VENV)/.core: $(VENV)/.created pyproject.toml
	$(PIP) install $(PIP_TORCH_ARGS) "torch>=2.8,<2.14"
	$(PIP) install "setuptools>=77"
	$(PIP) install --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core pyproject.toml
	$(PIP) install --no-build-isolation --editable ".[dev,panns,pyannote,labelstudio,train,app]"
	# Both ask for old or unneeded packages; what is used of them needs none.
	$(PIP) install --no-deps aisfx==0.1.2 "bigvgan>=2.4,<3"
	@touch $@

label-studio: $(VENV)/.dev
	@$(BIN)/python -c "from annotation.server.install import install; install(print)"

browser:
	@for name in $(CHROMIUM) chromium chromium-browser google-chrome; do \
	  command -v "$$name" >/dev/null && exit 0; done; \
	if ! command -v apt-get >/dev/null; then \
	  echo "the tests of pages need Chromium: install it, or name the program with CHROMIUM=..."; exit 1; fi; \
	$(as_root) apt-get update && $(as_root) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
