# make demo: build, install and serve the demo.   make test: everything that CI tests.
# make gpu: tests and figures on a GPU. make gpu-models: whole models there, beside PyTorch.
# make bench: the comparison with other engines, also held to AVX2; kernels against the machine's peaks; what calls cost.
PYTHON ?= python3
PORT ?= 8000
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
# Links in src/ stand for the folders beside them; what is deleted but not yet committed does not count.
SOURCES := $(wildcard $(shell git ls-files --cached --others --exclude-standard \
             runtime quant exporter server src CMakeLists.txt pyproject.toml 2>/dev/null))
ALONE := build/peers/packages
# The tests' editable install serves the demo too; a wheel over it would hide later changes from the tests.
DEMO := $(or $(wildcard $(VENV)/.test),$(VENV)/.demo)

.PHONY: demo test lint check-tools bench gpu gpu-models clean

demo: $(DEMO)
	$(BIN)/rushlight demo --port $(PORT)

test: $(VENV)/.test
	BIN=$(BIN) scripts/test -q --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(VENV)/.test
	scripts/lint

bench: $(VENV)/.bench
	PYTHONPATH=$(ALONE) $(BIN)/python -m benchmarks.peers
	PYTHONPATH=$(ALONE) $(BIN)/python -m benchmarks.peers --isa avx2
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.overhead

# On a machine with a GPU, in an environment that has CuPy, NVRTC and what tests need: GPU_PYTHON=...
GPU_PYTHON ?= $(BIN)/python
GPU_TESTS := $(wildcard tests/test_cuda_gpu*.py)
gpu:
	$(GPU_PYTHON) -m pytest -q $(GPU_TESTS)
	if command -v compute-sanitizer >/dev/null; then for tool in memcheck racecheck; do \
	  compute-sanitizer --tool $$tool --error-exitcode 1 $(GPU_PYTHON) -m pytest -q tests/test_cuda_gpu.py tests/test_cuda_gpu_tf32.py || exit 1; done; fi
	$(GPU_PYTHON) -m benchmarks.gpu --tiles

# torch.compile tries many kernels for every model and batch: this takes its time.
gpu-models:
	$(GPU_PYTHON) -m benchmarks.gpu_models --requests 10000

check-tools:
	@scripts/check-tools $(PYTHON)

$(BIN)/python: | check-tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet '.[demo]'
	touch $@

# The editable install only links to the checkout; scripts/build compiles the core into it, with the environment's own
# build tools. torch comes first: nothing may pull another build of it.
$(VENV)/.test: $(SOURCES) scripts/requirements-test.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'torch==2.13.0' $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --quiet --requirement scripts/requirements-test.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[test]'
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/build
	touch $@

# Packages without what they require stay out of the environment: others would find them there, and not their torch.
$(VENV)/.bench: $(VENV)/.test benchmarks/requirements.txt benchmarks/requirements-alone.txt
	$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --upgrade --no-deps --target $(ALONE) --requirement benchmarks/requirements-alone.txt
	touch $@

clean:
	rm -rf $(VENV) build dist runtime/cpu/_core.*.so
