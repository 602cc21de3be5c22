# One-command entry points. Nothing here needs an activated environment.
#   make env VENV=/elsewhere/venv PYTHON=/path/to/python3.12
VENV ?= .venv
PYTHON ?=
TASK ?= instance
SCALE ?= cpu
OLDEST_VENV ?= .venv-oldest
OLDEST_PYTHON ?= python3.11

# Written last, so that an interrupted installation is resumed and a finished one costs nothing.
STAMP := $(VENV)/.complete
INSTALL := requirements/install.sh

# CUDA is asked for: whether the environment has it is for install.sh to see, which repeats only what is missing.
ifneq ($(filter-out 0,$(FORCE_CUDA)),)
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help env test test-oldest cuda-op demo study pretrain-demo clean clean-env

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo "  VENV=$(VENV)  PYTHON=<found: 3.11, 3.12, 3.13 or 3.14>  TASK=$(TASK) (demo: instance, semantic, lulc)  SCALE=$(SCALE) (study: cpu, gpu)"

env: $(STAMP)  ## build the environment in $(VENV); the second time it does nothing

$(STAMP): $(INSTALL) $(wildcard requirements/*.sh requirements/*.txt) setup.py
	@bash $(INSTALL) "$(VENV)" "$(PYTHON)"
	@touch $@

# One process per core, each with one thread: threads of several processes would wait for one another.
test: env  ## all tests, on all cores
	OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest tests -n auto --dist worksteal

test-oldest:  ## the tests with the oldest versions that setup.py allows, in $(OLDEST_VENV); by hand: docs/versions.md
	@bash $(INSTALL) "$(OLDEST_VENV)" "$(OLDEST_PYTHON)" requirements/oldest.txt
	"$(OLDEST_VENV)/bin/python" -m pytest tests -m "not slow"
	"$(OLDEST_VENV)/bin/python" -m pytest tests/test_expected_results.py -k "scores_as_expected and semantic"

cuda-op: env  ## compile the attention op for CUDA, aside, and look at what came out; needs nvcc, but no card (about two minutes)
	@bash requirements/cuda_op.sh "$(VENV)" build/cuda-op

demo: env  ## synthetic data, a short CPU training, the table over all sensor subsets
	"$(VENV)/bin/python" tools/demo.py --task $(TASK)

study: env  ## the proposed model against MultiViT and the ablations: docs/results.md (about two hours; resumable)
	"$(VENV)/bin/python" tools/study.py --scale $(SCALE)

pretrain-demo: env  ## does pre-training help with few labels: docs/results_pretraining.md (about an hour; resumable)
	"$(VENV)/bin/python" tools/pretrain_demo.py

clean:  ## remove caches and build products
	rm -rf build dist *.egg-info .pytest_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

clean-env:  ## remove the environment
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; elif [ -e "$(VENV)" ]; then echo "$(VENV) is no virtual environment: left alone" >&2; exit 1; fi
