# The five things one does with this repository. Each installs what it lacks (as root) or says what to install.
.PHONY: help run test soak deny fuzz bench results build

help:
	@echo 'make run      build, start the server with a small sample study, say what to open (Ctrl-C ends it)'
	@echo 'make test     every check and every test; the last line counts them'
	@echo 'make soak     the crash tests, twenty times as long'
	@echo 'make results  write conformance/RESULTS.md anew from a conformance run'
	@echo 'make fuzz     each fuzz target for FUZZ_SECONDS (default 60) seconds'
	@echo 'make deny     licences, advisories and bans of the dependencies (needs the advisory database)'
	@echo 'make bench    speed and memory, each figure beside a floor measured in the same run'

run:
	@bash scripts/run.sh

test:
	@bash scripts/test.sh

soak:
	@bash scripts/soak.sh

results:
	@bash scripts/results.sh

deny:
	@bash scripts/deny.sh

fuzz:
	@bash scripts/fuzz.sh

bench:
	@bash scripts/bench.sh

build:
	@bash scripts/need.sh build
	cargo build -p precinct
