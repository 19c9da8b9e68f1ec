# Every target sets up what it needs in $(VENV), and nothing outside this folder.
PYTHON ?= python3
VENV ?= .venv
# cpu, cuda12, cuda13 or tpu.
ACCELERATOR ?= cpu
CONFIG ?= configs/fashion_mnist_10k.py
WORKDIR ?= runs/$(basename $(notdir $(CONFIG)))
# A Python that has torch, for the benchmarks that take PyTorch as a peer.
TORCH_PYTHON ?=
TORCH_VISION_PYTHON ?= $(TORCH_PYTHON)
STUDY ?= configs/ablations/quick.py
STUDY_WORKDIR ?= runs/$(basename $(notdir $(STUDY)))
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
REQUIREMENTS := $(if $(filter cpu,$(ACCELERATOR)),requirements.txt,requirements/$(ACCELERATOR).txt)
INSTALLED := $(VENV)/installed-$(ACCELERATOR)
ifeq ($(wildcard $(REQUIREMENTS)),)
$(error ACCELERATOR=$(ACCELERATOR) is unknown; use cpu, cuda12, cuda13 or tpu)
endif

.PHONY: train ablation report bench reliability libtpu test fuzz lint clean

train: $(INSTALLED)
	$(RUN) train.py --config=$(CONFIG) --workdir=$(WORKDIR) $(ARGS)

ablation: $(INSTALLED)
	$(RUN) ablate.py run --config=$(STUDY) --workdir=$(STUDY_WORKDIR) $(ARGS)

report: $(INSTALLED)
	$(RUN) ablate.py report --workdir=$(STUDY_WORKDIR)

bench: $(INSTALLED) $(VENV)/libtpu
	$(RUN) benchmarks/operators.py --out=benchmarks/results/operators_cpu.json
	$(RUN) benchmarks/training.py --torch-python=$(TORCH_PYTHON) --out=benchmarks/results/training.json
	$(RUN) benchmarks/forms.py --out=benchmarks/results/forms.json
	$(RUN) benchmarks/replicas.py --out=benchmarks/results/replicas.json
	$(RUN) benchmarks/loop.py --repeats=31 --out=benchmarks/results/loop.json
	$(RUN) benchmarks/input.py --torch-python=$(TORCH_VISION_PYTHON) --out=benchmarks/results/input.json
	$(RUN) benchmarks/pipelines.py --torch-python=$(TORCH_VISION_PYTHON) --out=benchmarks/results/pipelines.json
	$(RUN) -m cnn.cost.bench --config=$(CONFIG) --repeats=55 --out=benchmarks/results/bound.json
	$(RUN) benchmarks/startup.py --out=benchmarks/results/startup.json
	$(RUN) benchmarks/compiling.py --unrolled --out=benchmarks/results/compiling.json
	$(RUN) benchmarks/growth.py --out=benchmarks/results/growth.json
	$(RUN) benchmarks/planning.py --out=benchmarks/results/planning.json
	$(RUN) -m cnn.cost.plan --config=configs/imagenet_resnet50.py --topology=v5e:2x2 --per-chip=64 \
		--memory --out=benchmarks/results/planning_memory.json
	$(RUN) benchmarks/tables.py

# Kills, damages and fills real runs for hours, and goes on where it was stopped; ARGS="--times=3" for
# less.
reliability: $(INSTALLED)
	$(RUN) benchmarks/reliability.py --out=benchmarks/results/reliability.json $(ARGS)
	$(RUN) benchmarks/reliability.py --page

# Compiles for TPUs that are not there: python -m cnn.cost.plan.
libtpu: $(VENV)/libtpu

test: $(VENV)/installed-test $(VENV)/libtpu
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# Random overrides, none of which may end in a traceback.
fuzz: $(INSTALLED)
	$(RUN) benchmarks/fuzz.py --tries=10000 --out=benchmarks/results/fuzz.json $(ARGS)

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf $(VENV)

$(INSTALLED): $(REQUIREMENTS) requirements/constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		"error: $(PYTHON) is Python %d.%d, and 3.11 to 3.13 is needed; for example: " \
		"make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r $(REQUIREMENTS)
	touch $@

$(VENV)/libtpu: requirements/constraints.txt $(INSTALLED)
	$(PIP) --no-deps --target=$@ -c requirements/constraints.txt libtpu \
		|| echo "no libtpu for this machine"
	mkdir -p $@ && touch $@

$(VENV)/installed-test: requirements/test.txt $(INSTALLED)
	$(PIP) -r requirements/test.txt
	touch $@
