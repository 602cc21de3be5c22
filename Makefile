# One-command entry points. Nothing here needs an activated environment.
#   make env VENV=/elsewhere/venv PYTHON=/path/to/python3.12
VENV ?= .venv
PYTHON ?=
TASK ?= instance
OLDEST_VENV ?= .venv-oldest
OLDEST_PYTHON ?= python3.11

# Written last, so that an interrupted installation is resumed and a finished one costs nothing.
STAMP := $(VENV)/.complete
DEV_STAMP := $(VENV)/.complete-dev
INSTALL := requirements/install.sh

# CUDA is asked for: whether the environment has it is for install.sh to see, which repeats only what is missing.
ifneq ($(filter-out 0,$(FORCE_CUDA)),)
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help env dev test test-long test-extras test-stock test-export browser test-browser lint format docs test-oldest cuda-op quick demo study pretrain-demo clean clean-env

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo "  VENV=$(VENV)  PYTHON=<found: 3.11, 3.12, 3.13 or 3.14>  TASK=$(TASK) (demo: instance, semantic, lulc)"

env: $(STAMP)  ## build the environment in $(VENV); the second time it does nothing

$(STAMP): $(INSTALL) $(filter-out requirements/dev.% requirements/stock.sh,$(wildcard requirements/*.sh requirements/*.txt)) setup.py
	@bash $(INSTALL) "$(VENV)" "$(PYTHON)"
	@touch $@

dev: $(DEV_STAMP)  ## add what lint, docs and tests of pages need to the environment; nothing else needs it

$(DEV_STAMP): $(STAMP) requirements/dev.sh requirements/dev.txt
	@bash requirements/dev.sh "$(VENV)"
	@touch $@

# One process per core, each with one thread: threads of several processes would wait for one another.
test: env  ## the tests, on all cores; skips those marked long, and those whose extras, source builds or browser are not there
	OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest tests -n auto --dist worksteal

test-long: env  ## the tests that take minutes each, one after the other
	"$(VENV)/bin/python" -m pytest tests -m long

# $(call test-beside,NAME,TESTS): tests with the libraries of requirements/NAME.txt. These and what they need lie aside, in
# build/NAME, without what the environment holds already, which stays as it is.
define test-beside
"$(VENV)/bin/uv" pip install --quiet --python "$(VENV)/bin/python" --target build/$(1) -c requirements/base.txt \
  --excludes requirements/base.txt -r requirements/$(1).txt
PYTHONPATH=build/$(1) OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest $(2)
endef

test-extras: env  ## the tests with transformers, segmentation_models_pytorch and TerraTorch, in build/extras; by hand: docs/versions.md
	$(call test-beside,extras,tests/hf tests/integrations)

test-export: env  ## the tests of ONNX files, with onnx, onnxscript and onnxruntime in build/export
	$(call test-beside,export,tests/export tests/tools/test_export_model.py)

browser: dev  ## what the tests of pages need beside the environment: playwright and a Chromium; without it they are skipped
	@bash requirements/browser.sh "$(VENV)"

test-browser: browser  ## the tests of pages, in Chromium
	OMP_NUM_THREADS=1 "$(VENV)/bin/python" -m pytest tests/visualization/pages -rs

# Sources lie aside, with an environment of their own. Several minutes: detectron2 is compiled.
test-stock: env  ## Mask2Former's train_net.py with source builds of it and of detectron2, in build/stock; by hand: docs/versions.md
	@bash requirements/stock.sh "$(VENV)/bin/uv" "$(VENV)/bin/python" build/stock
	IMRSF_STOCK=build/stock "$(VENV)/bin/python" -m pytest tests/compat/test_stock_builds.py

lint: dev  ## ruff (lint and format) and mypy, as configured in pyproject.toml
	"$(VENV)/bin/ruff" check
	"$(VENV)/bin/ruff" format --check
	"$(VENV)/bin/mypy"

format: dev  ## correct what ruff can correct by itself
	"$(VENV)/bin/ruff" check --fix
	"$(VENV)/bin/ruff" format

# No page is fetched from elsewhere, and a warning is an error: a link or an anchor that leads nowhere is one.
docs: dev  ## the documentation as a website, in build/site
	NO_MKDOCS_2_WARNING=1 "$(VENV)/bin/mkdocs" build --strict
	@echo "open build/site/index.html"

test-oldest:  ## the tests with the oldest versions that setup.py allows, in $(OLDEST_VENV); by hand: docs/versions.md
	@bash $(INSTALL) "$(OLDEST_VENV)" "$(OLDEST_PYTHON)" requirements/oldest.txt
	"$(OLDEST_VENV)/bin/python" -m pytest tests -m "not slow"
	"$(OLDEST_VENV)/bin/python" -m pytest tests/test_expected_results.py -k "scores_as_expected and semantic"

cuda-op: env  ## compile the attention op for CUDA, aside, and look at what came out; needs nvcc, but no card (about two minutes)
	@bash requirements/cuda_op.sh "$(VENV)" build/cuda-op

quick: env  ## synthetic data, a minute of training on the CPU, scores with every subset of the sensors
	"$(VENV)/bin/python" datasets/make_synthetic.py --layout dfc2023 --output output/quick/data/dfc2023 --num-train 200 --num-val 40 --size 64
	DETECTRON2_DATASETS=output/quick/data "$(VENV)/bin/python" tools/train_net.py --config-file configs/quick/dfc2023_instance.yaml OUTPUT_DIR output/quick
	DETECTRON2_DATASETS=output/quick/data "$(VENV)/bin/python" tools/evaluate_modalities.py --config-file configs/quick/dfc2023_instance.yaml \
	  --output output/quick/subsets MODEL.WEIGHTS output/quick/model_final.pth

demo: env  ## the same with a larger model, and pictures
	"$(VENV)/bin/python" tools/demo.py --task $(TASK)

study: env  ## all models with and without sensors, compared on test data: docs/results.md (hours; resumable)
	"$(VENV)/bin/python" tools/study.py

pretrain-demo: env  ## does pre-training help with few labels: docs/results_pretraining.md (hours; resumable)
	"$(VENV)/bin/python" tools/pretrain_demo.py

clean:  ## remove caches and build products
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

clean-env:  ## remove the environment
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; elif [ -e "$(VENV)" ]; then echo "$(VENV) is no virtual environment: left alone" >&2; exit 1; fi
