# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test bench lint weights clean

demo: $(READY)
	$(BIN)/mrsim demo -o demo

test: $(READY) lint
	$(BIN)/python -m pytest --benchmark-skip

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The shipped weights, from their scans; about 25 minutes on two quiet cores.
WEIGHTS_BREATHING := --set motion.breathing.amplitude_mm=12.0 --set motion.breathing.period_s=4.5 \
	--set motion.breathing.amplitude_sd=0.2 --set motion.breathing.period_sd=0.15

weights: $(READY)
	mkdir -p build
	for seed in 100 101 102; do \
		$(BIN)/mrsim simulate quasar -o build/quasar-$$seed.stream --seconds 60 --acceleration 4 --seed $$seed \
			$(WEIGHTS_BREATHING) || exit 1; done
	$(BIN)/mrsim train build/quasar-100.stream build/quasar-101.stream build/quasar-102.stream \
		-o recon/weights/quasar-4x.npz --network compact --epochs 14 6 --rates 2e-3 4e-4 --seed 1

bench: $(READY)
	$(BIN)/python -m pytest --benchmark-only

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo
