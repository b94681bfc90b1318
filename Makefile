# Two commands make everything: `make book` and `make test`. Each first brings .venv up to date,
# which takes no time when nothing changed. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help book test lab assignments doctor format environment clean-book clean
unexport PYTHONPATH PYTHONHOME

# The first Python 3.11 of the path, or what was said: make book PYTHON=/path/to/python3.11
if_3.11 = $(shell $(1) -c 'import sys; print(sys.executable if sys.version_info[:2] == (3, 11) else "")' 2>/dev/null)
PYTHON = $(or $(call if_3.11,python3.11),$(call if_3.11,python3),$(call if_3.11,python))

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 - \2/p' Makefile

book: environment ## the site, in _build/html
	@.venv/bin/python book/_ext/build.py

test: environment ## style, types and tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest --ignore=tests/site/test_browser.py

lab: environment ## the notebooks in JupyterLab
	@.venv/bin/jupyter lab --notebook-dir=book

assignments: environment ## the hand-outs of the course, in _build/assignments
	@.venv/bin/python -m ulmfit_lib assignment build

doctor: environment ## what is installed, what is off, and the remedy
	@.venv/bin/python -m ulmfit_lib doctor

format: environment ## mend style, and strip outputs from notebooks
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/python tests/notebooks/strip.py

environment: ## set up or update .venv only
	@if [ -z "$(call if_3.11,"$(PYTHON)")" ]; then \
	  echo "The book needs Python 3.11, and $(or $(PYTHON),no python3.11 on the path) is not it." >&2; \
	  echo "Install Python 3.11 and say where it is: make book PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi
	@"$(PYTHON)" ulmfit_lib/environment.py

clean-book: ## remove the built site and the chapters' cached outputs
	rm -rf _build book/api/*/

clean: clean-book ## remove everything built but .venv
	rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find book ulmfit_lib tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
