# `make` or `make help` lists the targets. The package does the work; this file owns the order.

PROFILE ?= laptop
ONLY ?=
SEED ?= 0

# Notebooks run in their own folder, so relative paths are made absolute first.
ifneq ($(IBCORE_OUTPUT),)
  ifneq ($(words $(IBCORE_OUTPUT)),1)
    $(error make cannot work in a folder with a space: IBCORE_OUTPUT=$(IBCORE_OUTPUT))
  endif
  override IBCORE_OUTPUT := $(abspath $(patsubst ~/%,$(HOME)/%,$(IBCORE_OUTPUT)))
  export IBCORE_OUTPUT
endif
# Where runs and figures go; the tests use other folders.
OUTPUT := $(if $(IBCORE_OUTPUT),$(IBCORE_OUTPUT),.)

ifneq ($(IBCORE_DATA),)
  override IBCORE_DATA := $(shell cd "$(IBCORE_DATA)" 2>/dev/null && pwd || echo "$(IBCORE_DATA)")
  export IBCORE_DATA
endif

# A Dask cluster that computes the runs.
SCHEDULER ?=
ifneq ($(SCHEDULER),)
  export IBCORE_SCHEDULER := $(SCHEDULER)
endif

# Much of a notebook keeps a single core busy: two at a time, which share the cores. Not with the
# paper profile, whose runs may want a GPU for themselves.
ifeq ($(MAKECMDGOALS),reproduce)
ifneq ($(PROFILE),paper)
  MAKEFLAGS += -j2
  export IBCORE_JOBS ?= $(shell \
    cores=$$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); \
    echo $$((cores < 4 ? 1 : cores / 2)))
  export OMP_NUM_THREADS ?= 1
endif
endif

# An environment may hold the package of another checkout; the notebooks take this one.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

ifneq ($(words $(PROFILE)) $(filter smoke laptop paper,$(PROFILE)),1 $(PROFILE))
  $(error unknown PROFILE=$(PROFILE); known: smoke laptop paper)
endif

# An active conda environment (other than base) is used as it is; otherwise make owns .venv.
ifneq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
  PYTHON := python
  ENVIRONMENT := active-environment
else
  PYTHON := .venv/bin/python
  ENVIRONMENT := .venv/.complete
endif

ALL := $(sort $(basename $(notdir $(wildcard notebooks/[0-9]*.py))))
CHOSEN := $(if $(ONLY),$(filter $(addsuffix %,$(ONLY)),$(ALL)),$(ALL))
UNMATCHED := $(strip $(foreach part,$(ONLY),$(if $(filter $(part)%,$(ALL)),,$(part))))
ifneq ($(UNMATCHED),)
  $(error no notebook matches ONLY=$(UNMATCHED); notebooks: $(ALL))
endif
STAMPS := $(OUTPUT)/data/runs/stamps/$(PROFILE)
INPUTS := $(shell find ibcore -name '*.py' -o -name '*.yaml') $(wildcard data/published/*.csv) \
          requirements.lock
WITHOUT_FIGURES := $(foreach name,$(CHOSEN),$(if \
  $(wildcard $(OUTPUT)/figures/$(PROFILE)/$(name)/manifest.json),,$(STAMPS)/$(name)))
TESTS := $(PYTHON) -m pytest

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: env data reproduce test lint pair nbval lab student report bench costs faults clean distclean help \
        active-environment

help: ## List the targets
	@echo "make TARGET [PROFILE=smoke|laptop|paper] [ONLY=01_szt] [SEED=0] [SCHEDULER=tcp://HOST:8786]"
	@echo "     (PROFILE is $(PROFILE))"
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(ENVIRONMENT) ## Make .venv from requirements.lock (or check the active conda environment)

.venv/.complete: requirements.lock pyproject.toml
	@python3 tools/environment.py .venv

active-environment:
	@$(PYTHON) tools/environment.py --active

data: $(ENVIRONMENT) ## Fetch what can be fetched, and say what each data set is (see data/README.md)
	@$(if $(filter smoke,$(PROFILE)),:,$(PYTHON) -m ibcore.datasets --standin)

# Changes when the seed or the data files at hand change, so that stamps do not outlive them.
$(STAMPS)/settings: data
	@mkdir -p $(@D)
	@new=$$(mktemp $@.XXXXXX) && trap 'rm -f "$$new"' EXIT && \
	  { echo "seed $(SEED)" && $(PYTHON) -m ibcore.reproduce settings; } > $$new && \
	  { cmp -s $$new $@ || mv $$new $@; }

$(STAMPS)/%: notebooks/%.py $(INPUTS) $(STAMPS)/settings
	@$(PYTHON) -m ibcore.reproduce run $* --profile $(PROFILE) --seed $(SEED) --chosen "$(CHOSEN)"
	@touch $@

# Being phony, data makes these anew although their stamps may be there.
$(WITHOUT_FIGURES): data

reproduce: $(addprefix $(STAMPS)/,$(CHOSEN)) ## Execute all notebooks; every figure, table and verdict
	@$(PYTHON) -m ibcore.reproduce index --profile $(PROFILE)

test: env lint ## Run all tests, doctests and the check of the notebooks' outputs
	@OMP_NUM_THREADS=1 $(TESTS) -n 2 -m "not benchmark and not faults" \
	  --cov=ibcore --cov-report=term:skip-covered --cov-fail-under=95
	@$(MAKE) --no-print-directory nbval

nbval: env ## Execute the committed notebooks and compare their checked outputs
	@$(PYTHON) -m ibcore.reproduce check
	@output=$$(mktemp -d) && trap 'rm -rf "$$output"' EXIT && \
	  IBCORE_OUTPUT=$$output IBCORE_JOBS=1 IBCORE_STATIC=1 TQDM_DISABLE=1 OMP_NUM_THREADS=1 \
	  $(TESTS) -n 2 --dist loadfile --nbval-lax --nbval-current-env notebooks/

lint: env ## Check the style of the code
	@$(PYTHON) -m ruff check --quiet . && $(PYTHON) -m ruff format --check --quiet .

pair: env ## Make the committed notebooks from their .py sources, with smoke outputs
	@TQDM_DISABLE=1 $(PYTHON) -m ibcore.reproduce pair $(if $(ONLY),$(CHOSEN))

lab: env ## Open the notebooks in JupyterLab, on a page that lists them
	@$(PYTHON) -m jupyter lab --notebook-dir=notebooks --LabApp.default_url=/lab/tree/start.ipynb

student: env ## Write the notebooks without their solutions into build/student
	@$(PYTHON) -m ibcore.reproduce student

report: env ## Write indexes and verdicts again, and the book of a profile into build/book/html
	@$(PYTHON) -m ibcore.reproduce index --profile $(PROFILE)
	@$(PYTHON) -m ibcore.reproduce readme
	@$(PYTHON) -m ibcore.pages
	@$(PYTHON) -m ibcore.book --profile $(PROFILE)

bench: env ## Time against other libraries, growth and memory; writes book/benchmarks.md
	@OMP_NUM_THREADS=1 IBCORE_BENCH_OUT=$${IBCORE_BENCH_OUT-book/benchmarks.md} $(TESTS) -m benchmark -p no:xdist tests/benchmarks

costs: env ## Time a step of every training of the paper profile; writes book/costs.md
	@table=$$(OMP_NUM_THREADS=1 $(PYTHON) -m ibcore cost) && \
	  printf '# What the paper profile takes\n\nWritten by `make costs`.\n\n%s\n' "$$table" > book/costs.md

faults: env ## Kill, fill up, damage and fuzz at length; the results must stay the same
	@OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=long $(TESTS) -n 2 tests/fuzz
	@OMP_NUM_THREADS=1 $(TESTS) -m faults -rP tests

clean: ## Remove runs, stamps, builds and smoke figures; keep environment, data, committed figures
	@rm -rf $(OUTPUT)/data/runs $(OUTPUT)/figures/smoke $(OUTPUT)/build

distclean: clean ## Remove also .venv; data/raw stays, nobody may be able to fetch its files again
	@rm -rf .venv .venv.lock ibcore.egg-info
	@if [ -d $(OUTPUT)/data/raw ]; then echo "$(OUTPUT)/data/raw is left: not all of it can be fetched again"; fi
