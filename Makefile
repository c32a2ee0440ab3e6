# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Modules are compiled when they are first imported: pip would compile all of torch, which takes as long as the rest.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test test-commands test-bench test-scanner test-rest test-quick test-newest coverage bench bench-check lint weights clean

demo: $(READY)
	$(BIN)/mrsim demo -o demo

# The site, into build/site: open its index.html. Tutorials and gallery are run while it is built, and any warning
# fails it. EXECUTED=short runs the tutorials as the tests do, EXECUTED=no shows them without what they print.
EXECUTED ?= full
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -c docs/site -D executed=$(EXECUTED) -b html docs build/site

# Four parts, two side by side: one after the other they take too long. The longest begin.
PARTS := test-commands test-bench test-rest test-scanner
test: $(READY)
	@$(MAKE) --no-print-directory -j2 --output-sync=target $(PARTS) lint

# Without what is marked slow: what to run while one works.
test-quick: $(READY)
	@$(MAKE) --no-print-directory -j2 --output-sync=target $(PARTS) MARKED='-m "not slow"'

COMMANDS := $(addprefix tests/harness/,candidates cli testing wire workers)

test-bench: $(READY)
	$(BIN)/python -m pytest --benchmark-skip $(MARKED) tests/harness $(addprefix --ignore=,$(COMMANDS))

test-commands: $(READY)
	$(BIN)/python -m pytest --benchmark-skip $(MARKED) $(COMMANDS)

test-scanner: $(READY)
	$(BIN)/python -m pytest --benchmark-skip $(MARKED) tests/mrsim

test-rest: $(READY)
	$(BIN)/python -m pytest --benchmark-skip $(MARKED) tests --ignore=tests/harness --ignore=tests/mrsim

# The quick part on the newest other Python that is here and for which the pins have wheels.
NEWEST_WITHIN_S ?= 900
test-newest: $(READY)
	$(BIN)/python scripts/other_pythons.py --within-s $(NEWEST_WITHIN_S)

# The whole suite again, a third slower: which lines no test runs, and whether they are more than the floor allows.
coverage: $(READY)
	$(BIN)/python -m pytest --benchmark-skip --cov --cov-report=term:skip-covered tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The shipped weights, made again from nothing into build/weights: five or six hours on two quiet cores. What a
# kill left undone is gone on with by the next call.
PATIENTS := 1 2 3 4 5 6
WEIGHTS := build/weights/quasar-4x.npz $(foreach p,$(PATIENTS),build/weights/patient$(p)-5x.npz build/weights/patient$(p)-10x.npz) \
	build/weights/patient1-5x-8coils.npz build/weights/quasar-4x-dietz.npz build/weights/v2-5x-8coils.npz \
	build/weights/v2-patient1-5x-dietz.npz build/weights/v2-patient1-10x-dietz.npz \
	build/weights/v2-5x-8coils-recurrent.npz
TRAIN := --network compact --rates 5e-4 1e-4 --augment --shift-px 3 --warp-px 2 --balanced --seed 1
QUASAR_BREATHING := --set motion.breathing.amplitude_mm=12.0 --set motion.breathing.period_s=4.5 \
	--set motion.breathing.amplitude_sd=0.2 --set motion.breathing.period_sd=0.15
# All of the abstract's 100 epochs: about half an hour on two quiet cores with bfloat16, longer without.
DIETZ_EPOCHS ?= 70 30
DIETZ := --network dietz2019 --set learned=true --target-instant centre --columns 32 --rates 1e-3 2e-4 --half \
	--keep-stages --seed 1
QUASAR_SCANS := build/scans/quasar-100.stream build/scans/quasar-101.stream build/scans/quasar-102.stream

weights: $(WEIGHTS)

build/weights/quasar-4x.npz: $(QUASAR_SCANS) | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $(QUASAR_SCANS) -o $@ --network population --epochs 14 6 --rates 2e-3 4e-4 --seed 1

build/weights/quasar-4x-dietz.npz: build/scans/quasar-full.stream | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $< -o $@ --undersample 4 $(DIETZ) --precision bfloat16 --epochs $(DIETZ_EPOCHS) --losses $(@:.npz=.csv)

# The same for a harder patient: the first 250 of 650 fully sampled dynamics; the other 400 are left for tests. An
# hour each on two cores with bfloat16. Where there is none, V2_DIETZ_EPOCHS="30 10" V2_DIETZ_PRECISION=float32 takes
# an hour and a half.
V2_DIETZ_EPOCHS ?= $(DIETZ_EPOCHS)
V2_DIETZ_PRECISION ?= bfloat16
V2_DIETZ = mkdir -p build/weights && $(BIN)/mrsim train $< -o $@ --until-s 70 $(DIETZ) --epochs $(V2_DIETZ_EPOCHS) \
	--precision $(V2_DIETZ_PRECISION) --losses $(@:.npz=.csv)

build/weights/v2-patient%-5x-dietz.npz: build/scans/v2-patient%-day1-full.stream | $(READY)
	$(V2_DIETZ) --undersample 5

build/weights/v2-patient%-10x-dietz.npz: build/scans/v2-patient%-day1-full.stream | $(READY)
	$(V2_DIETZ) --undersample 10

build/weights/patient%-5x.npz: build/scans/patient%-5x.stream | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $< -o $@ --until-s 70 --epochs 4 2 $(TRAIN)

build/weights/patient%-10x.npz: build/scans/patient%-10x.stream | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $< -o $@ --until-s 70 --epochs 2 1 $(TRAIN)

build/weights/patient%-5x-8coils.npz: build/scans/patient%-5x-8coils.stream | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $< -o $@ --until-s 70 --epochs 4 2 $(TRAIN)

build/scans/quasar-full.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate quasar -o $@ --frames 250 --acceleration 1 --sampler full --seed 1 $(QUASAR_BREATHING)

build/scans/quasar-%.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate quasar -o $@ --seconds 60 --acceleration 4 --seed $* $(QUASAR_BREATHING)

build/scans/patient%-5x.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate patient$* -o $@ --seconds 70 --acceleration 5 --seed 1

build/scans/patient%-5x-8coils.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate patient$* -o $@ --seconds 70 --acceleration 5 --coils 8 --seed 1

build/scans/patient%-10x.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate patient$* -o $@ --seconds 70 --acceleration 10 --seed 1

# Day one of the harder patients, each at its own field, in eight coils; day two is left for tests.
V2_SECONDS ?= 20
V2_UNTIL_S ?= 4.5
V2_EPOCHS ?= 6 2
V2_FIELDS := 0.5 1.5 3 0.35 1.5 3
V2_SCANS = $(foreach p,$(PATIENTS),build/scans/v2-patient$(p)-day1-$(1)-8coils.stream)

# The blocks start from those of the motion phantom, which have learned what noise and lines are.
build/weights/v2-5x-8coils.npz: $(call V2_SCANS,5x) | $(READY)
	mkdir -p build/weights
	$(BIN)/mrsim train $(call V2_SCANS,5x) -o $@ --network population --blocks-from quasar-4x --until-s $(V2_UNTIL_S) \
		--epochs $(V2_EPOCHS) --rates 1e-3 2e-4 --half --seed 1 --losses $(@:.npz=.csv)

# Half an hour each on one core.
build/weights/v2-5x-8coils-recurrent.npz: $(call V2_SCANS,5x) | $(READY)
build/weights/v2-10x-8coils-recurrent.npz: $(call V2_SCANS,10x) | $(READY)
build/weights/v2-%-8coils-recurrent.npz:
	mkdir -p build/weights
	$(BIN)/mrsim train $^ -o $@ --network recurrent --epochs $(RECURRENT_EPOCHS_$*) --rates 2e-3 4e-4 --half --seed 1 \
		--losses $(@:.npz=.csv)
RECURRENT_EPOCHS_5x ?= 20 6
RECURRENT_EPOCHS_10x ?= 10 3

# Its trained opponents, on the same scans.
OPPONENTS := unet-gru video crnn varnet
OPPONENT_EPOCHS_5x ?= 20 6
OPPONENT_EPOCHS_10x ?= 10 3
V2_OPPONENT = mkdir -p build/weights && $(BIN)/mrsim train $^ -o $@ --network $* --epochs $(OPPONENT_EPOCHS_$(1)) \
	--rates 2e-3 4e-4 --half --seed 1 --losses $(@:.npz=.csv)
$(OPPONENTS:%=build/weights/v2-5x-8coils-%.npz): build/weights/v2-5x-8coils-%.npz: $(call V2_SCANS,5x) | $(READY)
	$(call V2_OPPONENT,5x)
$(OPPONENTS:%=build/weights/v2-10x-8coils-%.npz): build/weights/v2-10x-8coils-%.npz: $(call V2_SCANS,10x) | $(READY)
	$(call V2_OPPONENT,10x)

build/scans/v2-patient%-day1-full.stream: | $(READY)
	mkdir -p build/scans
	$(BIN)/mrsim simulate v2/patient$*-day1 -o $@ --frames 650 --acceleration 1 --sampler full \
		--field-t $(word $*,$(V2_FIELDS)) --seed 1

V2_SCAN = mkdir -p build/scans && $(BIN)/mrsim simulate v2/patient$*-day1 -o $@ --seconds $(V2_SECONDS) --coils 8 \
	--field-t $(word $*,$(V2_FIELDS)) --seed 1
build/scans/v2-patient%-day1-5x-8coils.stream: | $(READY)
	$(V2_SCAN) --acceleration 5
build/scans/v2-patient%-day1-10x-8coils.stream: | $(READY)
	$(V2_SCAN) --acceleration 10

.SECONDARY:

bench: $(READY)
	$(BIN)/python -m pytest --benchmark-only

# Fails where the present code is slower than that of a commit, both run in turns: make bench-check BASE=v0.1.0
BASE ?= HEAD
bench-check: $(READY)
	$(BIN)/python scripts/bench_check.py --base $(BASE)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo docs/pictures docs/tutorials/made
