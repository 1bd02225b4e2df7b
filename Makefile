# Copyright: (c) 2026, the ephemeral.github_runners authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Everything a person types here. All of it runs in .venv, which the first target makes from the locked requirements.

PYTHON ?= python3
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv doctor engine demo demo-down test beside lint sanity unit contract chaos chaos-host bench proxmox killed real-vm e2e shared-host own-host molecule clean-cache

help: ## what can be typed
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; done

venv: $(INSTALLED) ## make .venv, with everything in requirements-dev.txt

$(INSTALLED): requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there. Do: install Python 3.11 or later"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version) is too old, 3.11 is needed. Do: make PYTHON=python3.13 venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. Do: install the package python3-venv"; exit 1; }
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' $<)"
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(VENV)/bin/uv pip sync --quiet $<
	@$(VENV)/bin/python -m tests.gates tree >/dev/null
	@touch $@

doctor: venv ## has this machine what the demo and the tests need? Changes nothing
	@$(RUN) tests.lab doctor

engine: venv ## a Docker Engine: checks, and on a fresh Debian or Ubuntu server installs and starts one
	@$(RUN) tests.lab engine

demo: venv ## the main job, for real, on a VM that it makes: three runners, six jobs, scale up and down
	@$(RUN) tests.lab demo

demo-down: venv ## remove all that the demo made
	@$(RUN) tests.lab demo-down

# Each goes on where another has failed: who pushes sees all that is wrong at once.
parts = code=0; for part in $(1); do $(MAKE) --no-print-directory $$part || code=$$?; done

# Two streams side by side, about as long as each other. What the second one says comes at the end.
test: engine ## all tests
	@mkdir -p .cache; $(MAKE) --no-print-directory beside >.cache/beside.log 2>&1 & beside=$$!; \
	trap 'kill $$beside 2>/dev/null' INT TERM; \
	$(call parts,shared-host molecule); \
	wait $$beside || code=$$?; cat .cache/beside.log; exit $$code

beside: engine
	@$(call parts,lint sanity unit contract proxmox own-host); exit $$code

lint: venv ## style, types, Ansible's and Galaxy's rules
	@$(RUN) tests.gates lint

sanity: venv ## ansible-test sanity
	@$(RUN) tests.gates sanity

unit: venv ## what needs no Docker
	@$(RUN) pytest tests/unit tests/repository tests/chaos

contract: venv ## the doubles against the vendors' descriptions
	@$(RUN) pytest tests/contract

# The long form of tests/chaos; its short one is a part of `unit`. Each of these can be given: make chaos CHAOS_SEED=7
chaos: export CHAOS_SEED := $(or $(CHAOS_SEED),$(shell date +%s))
chaos: export CHAOS_EXAMPLES ?= 300
chaos: export CHAOS_STEPS ?= 40
chaos: export CHAOS_TIMES ?= 5
chaos: export CHAOS_EVERY ?= 1
chaos: export CHAOS_DAYS ?= 30
chaos: export CHAOS_JOBS ?= 10500
chaos: export CHAOS_RESULTS ?= $(CURDIR)/.cache/chaos.jsonl

chaos: venv ## every fault we can think of, in simulated time: the long form, and not in `test`
	@mkdir -p .cache; rm -f "$(CHAOS_RESULTS)"
	@$(RUN) pytest -o timeout=7200 tests/chaos
	@$(RUN) tests.chaos "$(CHAOS_RESULTS)" docs/reliability.md README.md

chaos-host: engine ## the same on a real host, with a witness beside it; an hour, and not in `test`
	@$(RUN) pytest -o python_files='chaos_*.py' tests/e2e/shared_host/chaos

# How much is measured: tests/bench/sizes.py says what each is. Some of it: make bench BENCH="B1 B6" BENCH_KILLED_TIMES=3
bench: export BENCH_TURNAROUND_LENGTHS ?= 1 15
bench: export BENCH_TURNAROUND_TURNS ?= 30
bench: export BENCH_TURNAROUND_RESTARTS ?= 12
bench: export BENCH_BURST_COUNTS ?= 20 50
bench: export BENCH_BURST_CONCURRENCY ?= 1 2 4 8
bench: export BENCH_BURST_TIMES ?= 5
bench: export BENCH_HOSTS ?= 1 10
bench: export BENCH_FIRST_DEPLOYS ?= 3
bench: export BENCH_SECOND_RUNS ?= 10
bench: export BENCH_IDLE_SLOTS ?= 4 16 64 200
bench: export BENCH_IDLE_SECONDS ?= 1200
bench: export BENCH_CALLS_BATCHES ?= 5
bench: export BENCH_CALLS_JOBS ?= 60
bench: export BENCH_KILLED_SLOTS ?= 16
bench: export BENCH_KILLED_JOB ?= 60
bench: export BENCH_KILLED_TIMES ?= 10
bench: export BENCH_JOBS ?= 10000
bench: export BENCH_JOBS_SLOTS ?= 16

bench: engine ## how fast it is, beside baselines, into docs/performance.md; hours, on a quiet machine, and not in `test`
	@$(RUN) tests.bench $(BENCH) --results tests/bench/results.json --page docs/performance.md

proxmox: venv ## the role proxmox_runner_vm against the Proxmox VE double
	@$(RUN) pytest tests/proxmox

killed: venv ## the same role, killed at each single place of a run; an hour and more, and not in `test`
	@$(RUN) pytest tests/proxmox/each_place.py

real-vm: engine ## the whole way on a virtual machine, emulated by QEMU; a quarter of an hour, and not in `test`
	@$(RUN) pytest tests/e2e/own_host/real_vm.py

e2e: shared-host own-host ## the lab, real hosts, real Docker, real ansible-playbook

shared-host: engine
	@$(RUN) pytest tests/e2e/shared_host

own-host: engine
	@$(RUN) pytest tests/e2e/own_host

molecule: engine ## the roles, as Ansible's users test them
	@$(RUN) molecule test --all

clean-cache: venv ## remove the lab's images and .cache
	@$(RUN) tests.lab clean-cache
	@rm -rf .cache
