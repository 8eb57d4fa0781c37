# Two commands set everything up on a fresh Debian 12 with Python >= 3.11, gcc and make:
#   make demo    the main job, on real input
#   make test    everything CI runs
# The others are for working on edged.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := CMakeLists.txt pyproject.toml $(shell find backends/kernels -name '*.[ch]' -o -name '*.inc' 2>/dev/null)

.PHONY: demo test test-long lint kernels check-kernels bench bench-kernels wheel deb clean

demo: $(VENV)/.installed
	$(BIN)/python -m edged demo

test: $(VENV)/.installed-test lint check-kernels
	$(BIN)/python -m pytest -m "not long" --ignore=tests/bench

# Soak, full fuzz, thousands of kills: hours, not minutes.
test-long: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m long --timeout 14400 --ignore=tests/bench

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Rebuild the C extension after a change of a kernel.
kernels: $(VENV)/.installed

# Every kernel against the scalar one: native, sanitizers, aarch64 and Cortex-M4, M55 under qemu.
check-kernels: $(VENV)/.installed-test
	$(MAKE) -C tests/kernels check

bench: $(VENV)/.installed-bench
	$(BIN)/python -m pytest -q -s tests/bench -m "" --timeout 3600

wheel: $(VENV)/.installed-test
	$(BIN)/python -m build --outdir dist .

# Debian packages, dist/edged_VERSION_ARCH.deb; arm64 is cross-built. `make deb ARCHES=amd64` for one of them.
ARCHES := amd64 arm64
deb: $(VENV)/.installed-test
	mkdir -p dist
	for arch in $(ARCHES); do PYTHON="$(CURDIR)/$(BIN)/python" sh packaging/debian/build $$arch "$(CURDIR)/dist" || exit 1; done

$(VENV)/.installed: $(SOURCES)
	.ci/setup "$(PYTHON)" "$(VENV)" ""
	@touch $@

$(VENV)/.installed-test: $(SOURCES)
	.ci/setup "$(PYTHON)" "$(VENV)" test
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(SOURCES)
	.ci/setup "$(PYTHON)" "$(VENV)" test,bench
	@touch $@ $(VENV)/.installed-test $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist
