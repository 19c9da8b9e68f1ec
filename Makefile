# Every target sets up what it needs in .venv, and nothing outside this folder.
PYTHON ?= python3
CONFIG ?= configs/fashion_mnist_10k.py
WORKDIR ?= runs/$(basename $(notdir $(CONFIG)))
# A Python that has torch, for the benchmarks that take PyTorch as a peer.
TORCH_PYTHON ?=
TORCH_VISION_PYTHON ?= $(TORCH_PYTHON)
STUDY ?= configs/ablations/quick.py
STUDY_WORKDIR ?= runs/$(basename $(notdir $(STUDY)))
RUN := .venv/bin/python

.PHONY: train ablation report bench libtpu test lint clean

train: .venv/installed
	$(RUN) train.py --config=$(CONFIG) --workdir=$(WORKDIR) $(ARGS)

ablation: .venv/installed
	$(RUN) ablate.py run --config=$(STUDY) --workdir=$(STUDY_WORKDIR) $(ARGS)

report: .venv/installed
	$(RUN) ablate.py report --workdir=$(STUDY_WORKDIR)

bench: .venv/installed .venv/libtpu
	$(RUN) benchmarks/operators.py --out=benchmarks/results/operators_cpu.json
	$(RUN) benchmarks/training.py --torch-python=$(TORCH_PYTHON) --out=benchmarks/results/training.json
	$(RUN) benchmarks/replicas.py --out=benchmarks/results/replicas.json
	$(RUN) benchmarks/loop.py --repeats=31 --out=benchmarks/results/loop.json
	$(RUN) benchmarks/input.py --torch-python=$(TORCH_VISION_PYTHON) --out=benchmarks/results/input.json
	$(RUN) -m cnn.cost.bench --config=$(CONFIG) --repeats=55 --out=benchmarks/results/bound.json
	$(RUN) benchmarks/startup.py --out=benchmarks/results/startup.json
	$(RUN) benchmarks/compiling.py --unrolled --out=benchmarks/results/compiling.json
	$(RUN) benchmarks/growth.py --out=benchmarks/results/growth.json
	$(RUN) benchmarks/planning.py --out=benchmarks/results/planning.json
	$(RUN) benchmarks/tables.py

# Compiles for TPUs that are not there: python -m cnn.cost.plan.
libtpu: .venv/libtpu

test: .venv/installed-test .venv/libtpu
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

clean:
	rm -rf .venv

.venv/installed: requirements.txt requirements/constraints.txt
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/libtpu: requirements/constraints.txt .venv/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --target=$@ \
		-c requirements/constraints.txt libtpu || echo "no libtpu for this machine"
	mkdir -p $@ && touch $@

.venv/installed-test: requirements/test.txt .venv/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	touch $@
