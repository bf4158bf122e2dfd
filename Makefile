# Thin: meson builds, tools/ does the rest.
#   make            build into build/
#   make test       everything that must pass            ONLY="unit arrows": some parts of it
#   make demo       see it work                          make bench: how fast it is
#   make lint       clang-tidy, cppcheck, clang-format   make format: put the format right
#   make fuzz       SECONDS=60 of fuzzing a target       make soak: MINUTES=30 of simulations and live changes
#   make deps       install what all of these need (root)
#   make install    DESTDIR, PREFIX                      make clean
PREFIX ?= /usr/local
SECONDS ?= 60
MINUTES ?= 30
ONLY ?=

# Another python3, meson or compiler may come first in the caller's PATH; Debian's are the ones that deps installs.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)

.PHONY: all demo test bench fuzz soak lint format deps install clean

all: build/build.ninja
	@ninja -C build

build/build.ninja:
	@command -v meson >/dev/null || { echo 'meson is missing: run "make deps" as root.' >&2; exit 1; }
	@meson setup build

deps:
	@tools/deps

demo: deps
	@$(MAKE) --no-print-directory all
	@tools/demo

test: deps
	@tools/test $(ONLY)

bench: deps
	@$(MAKE) --no-print-directory all
	@bench/run

fuzz: deps
	@tools/fuzz $(SECONDS)

soak: deps
	@$(MAKE) --no-print-directory all
	@tools/soak $(MINUTES)

lint: deps
	@tools/lint

format:
	@find $(wildcard src tests bench node cli controller) -name '*.[ch]' -exec clang-format -i {} +

install: all
	@meson configure build -Dprefix=$(abspath $(PREFIX))
	@DESTDIR='$(DESTDIR)' meson install -C build

clean:
	rm -rf build build-*
