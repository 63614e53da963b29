# Each target sets up what it needs; an existing .venv is reused.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := runs/demo

.PHONY: help setup demo test check proofs bench counts ledger ledger-page clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## create .venv with the package, its development tools and the peers

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,peers]"
	touch $(READY)

demo: setup  ## train on digits, evaluate, predict, and say where the report is
	@$(BIN)/python tools/demo.py $(DEMO)

test: setup  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 3 --durations 15

check: setup  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

proofs: setup  ## the long proofs; outcomes go to docs/proofs; more with SCHEMATHESIS=PROGRAM, KSERVE_PYTHON=PYTHON, CORRUPTIONS_PYTHON=PYTHON
	$(BIN)/python proofs/kill_resume.py
	$(BIN)/python proofs/fuzz.py --seconds 30
	$(BIN)/python proofs/predict_kills.py
	$(BIN)/python proofs/export_sweep.py
	$(BIN)/python proofs/serve_soak.py
	$(BIN)/python proofs/serve_faults.py
	$(BIN)/python proofs/serve_schema.py --schemathesis "$(SCHEMATHESIS)"
	$(BIN)/python proofs/kserve_client.py --python "$(KSERVE_PYTHON)"
	$(BIN)/python proofs/ray_serve.py
	$(BIN)/python proofs/ray_sweep.py
	$(BIN)/python proofs/two_digits.py
	@if test "$$(id -u)" = 0 && command -v ip > /dev/null; then $(BIN)/python proofs/two_hosts.py; else echo "Left out: two_hosts.py, which wants root and iproute2"; fi
	$(BIN)/python proofs/shard_index.py
	@if test -n "$(CORRUPTIONS_PYTHON)"; then "$(CORRUPTIONS_PYTHON)" proofs/corruptions.py; else echo "Left out: corruptions.py, which wants CORRUPTIONS_PYTHON=PYTHON with OpenCV, scikit-image and imagecorruptions"; fi
	@if test -n "$(PHOTOS)"; then $(BIN)/python proofs/format_resize.py "$(PHOTOS)"; else echo "Left out: format_resize.py, which wants PHOTOS=FOLDER of JPEGs"; fi
	@if test -n "$(ARCHIVE)"; then $(BIN)/python proofs/doubt.py "$(ARCHIVE)" && $(BIN)/python proofs/messy_photos.py "$(ARCHIVE)" && $(BIN)/python proofs/label_next.py "$(ARCHIVE)" $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)"); else echo "Left out: doubt.py, messy_photos.py and label_next.py, which want ARCHIVE=FILE"; fi
	@if test -n "$(CHECKPOINT)" -a -n "$(ARCHIVE)"; then $(BIN)/python proofs/converted_accuracy.py "$(CHECKPOINT)" "$(ARCHIVE)"; else echo "Left out: converted_accuracy.py, which wants CHECKPOINT=FILE ARCHIVE=FILE"; fi

bench: setup  ## benchmarks beside their peers: make bench CIFAR=FOLDER PHOTOS=FOLDER, each with train/ and test/ or val/
	@test -n "$(CIFAR)" -a -n "$(PHOTOS)" || { echo "Wanted: make bench CIFAR=FOLDER PHOTOS=FOLDER; CIFAR holds CIFAR-10 as JPEG in train/ and test/, PHOTOS holds photos in train/" >&2; exit 2; }
	$(BIN)/python benchmarks/train_speed.py "$(CIFAR)"
	$(BIN)/python benchmarks/memory.py "$(CIFAR)"
	$(BIN)/python benchmarks/input_pipeline.py "$(PHOTOS)/train"
	$(BIN)/python benchmarks/time_to_accuracy.py "$(CIFAR)"

counts: setup  ## count parameters and MACs of every listed network
	$(BIN)/python tools/counts.py

ledger: setup  ## count every network and compare its logits with the peers' where that is due, and write docs/ledger.md
	$(BIN)/python tools/our_results.py
	$(BIN)/python tools/ledger.py

ledger-page: setup  ## docs/ledger.md alone, from the JSON under docs
	$(BIN)/python tools/our_results.py
	$(BIN)/python tools/ledger.py --page

clean:  ## remove the environment, caches and demo runs
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
