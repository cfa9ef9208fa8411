# Everything starts from `python3` and `make`: the first target makes .venv and installs into it.
PY ?= python3
V := .venv/bin
REPORTS := benchmarks/reports

.PHONY: demo test check bench prove clean

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

bench: .venv/.ok
	@for script in benchmarks/[a-z]*.py; do $(V)/python $$script || exit 1; done

prove: .venv/.ok
	@for script in proofs/[a-z]*.py; do $(V)/python $$script || exit 1; done

clean:
	rm -rf .venv .cache demo .pytest_cache .mypy_cache .ruff_cache
