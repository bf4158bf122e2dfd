# Thin: meson builds, tools/ does the rest.
#   make            build into build/
#   make test       everything that must pass            ONLY="unit arrows": some parts of it
#   make demo       see it work                          make bench: how fast it is
#   make lint       clang-tidy, cppcheck, clang-format   make format: put the format right
#   make fuzz       SECONDS=60 of fuzzing a target       make soak: MINUTES=30 of simulations and live changes
#   make dark-full  every test of darkness, all ports, ten minutes of whom members send to (root)
#   make deps       install what all of these need (root)
#   make install    DESTDIR, PREFIX                      make clean
PREFIX ?= /usr/local
SECONDS ?= 60
MINUTES ?= 30
ONLY ?=

# Another python3, meson or compiler may come first in the caller's PATH; Debian's are the ones that deps installs.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)

.PHONY: all demo test dark-full bench fuzz soak lint format deps install clean

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

dark-full: deps
	@$(MAKE) --no-print-directory all
	@cd tests/netns && NIGHTJAR_DARK_FULL=1 NIGHTJAR_BUILD=$(CURDIR)/build PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=short -n 3 --dist loadfile -rs \
		test_dark_full.py test_dark_egress.py test_darkness.py test_dark_messages.py test_dark_packets.py \
		test_dark_keys.py test_dark.py test_strangers.py

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
