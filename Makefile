# Everything starts from `python3` and `make`: the first target makes .venv and installs into it.
PY ?= python3
V := .venv/bin
# `make bench` takes 18 minutes; left out are what learns (`make bench-quality`) and `make bench-more`, half an hour. `make prove`
# leaves out what wants data of its own or takes long. Each script's first lines say what it wants.
MORE := $(patsubst %,benchmarks/%.py,planner pretrained together)
BENCHES := $(filter-out benchmarks/quality.py $(MORE),$(sort $(wildcard benchmarks/[a-z]*.py)))
PROOFS := $(filter-out $(patsubst %,proofs/%.py,collapse imagine little_data ordering precision),$(sort $(wildcard proofs/[a-z]*.py)))

.PHONY: demo test check bench bench-more bench-quality prove clean

.venv/.ok: pyproject.toml constraints.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with PY=python3.12."; exit 1; }
	@echo "Setting up .venv (PyTorch is large: a minute here, longer over a network) ..."
	@test -x $(V)/python && $(V)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; $(PY) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv; \
	  $(PY) -m pip install -q --target .cache/virtualenv virtualenv && PYTHONPATH=.cache/virtualenv $(PY) -m virtualenv -q .venv; }; }
	@$(V)/python -m pip install -qq --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.ok
	@$(V)/python examples/demo.py demo

test: .venv/.ok
	@$(V)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal

check: .venv/.ok
	$(V)/ruff check src tests proofs benchmarks examples tools
	$(V)/ruff format --check src tests proofs benchmarks examples tools
	$(V)/mypy
	MYPYPATH=src:tests:proofs $(V)/mypy proofs
	MYPYPATH=src:tests:benchmarks $(V)/mypy benchmarks

# One after another; one that fails does not keep the others from running, and is named at the end.
define run_each
	@failed=; for script in $(1); do echo "== $$script"; $(V)/python $$script || failed="$$failed $$script"; done; \
	  test -z "$$failed" || { echo "Failed:$$failed"; exit 1; }
endef

bench: .venv/.ok
	$(call run_each,$(BENCHES))

bench-more: .venv/.ok
	$(call run_each,$(MORE))

bench-quality: .venv/.ok
	@$(V)/python benchmarks/quality.py

prove: .venv/.ok
	$(call run_each,$(PROOFS))

clean:
	rm -rf .venv .cache demo .pytest_cache .mypy_cache .ruff_cache
