# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            build/heaptap                 V=1: show commands; DEBUG=1: -O0 -g
#   make demo       watch a leaking server        PID=N: watch that process instead
#   make check      all tests that take minutes   check-full: also what takes longer
#   make bench      what tracing costs            BENCH="--quick": arguments
#   make bench-programs   is the old speed back after the detach: redis, nginx, node   BENCH=ROUNDS
#   make install    PREFIX, DESTDIR
#   make fuzz       build the fuzz targets; scripts/fuzz.sh SECONDS [TARGET] runs them
#   make lint       formatting, clang-tidy, include directions, shell scripts
#   SANITIZER=address,undefined: everything into build/sanitized
#   TRUTH=1: into build/truth, ships stacks for another unwinder to check

VERSION  := 0.1.0
PREFIX   ?= /usr/local
CLANG    ?= clang
BPFTOOL  ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
BUILD    := build$(if $(SANITIZER),/sanitized)$(if $(TRUTH),/truth)

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(filter 1,$(V)),true,printf '  %-8s %s\n' $(1) $(2))

OPTIMIZE := $(if $(DEBUG),-O0,-O2)
SANITIZE := $(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-sanitize-recover=all)
CFLAGS   += -std=gnu11 -g $(OPTIMIZE) -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wundef \
            -fno-omit-frame-pointer -fstack-protector-strong $(SANITIZE)
CPPFLAGS += $(if $(TRUTH),-DHEAPTAP_TRUTH) -D_GNU_SOURCE -DHEAPTAP_VERSION='"$(VERSION)"' -I$(BUILD)
LDFLAGS  += $(SANITIZE)
# What a unit test links, and what the program adds: libbpf stays in trace/.
CORE_LIBS := -ldw -lelf -llzma -lz -lZydis -liberty -lm -lpthread
LIBS      := -lbpf $(CORE_LIBS)

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra -Werror \
              $(addprefix -I,$(wildcard /usr/include/$(shell uname -m)-linux-gnu))

CORE_DIRS := base target model symbol render
CORE_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(CORE_DIRS:%=user/%/*.c)))
APP_OBJS  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard user/trace/*.c user/cli/*.c) user/main.c)
# One object a kind of link: see bpf/programs.h.
SKELETONS := $(patsubst bpf/%.bpf.c,$(BUILD)/%.skel.h,$(wildcard bpf/*.bpf.c))

WORKLOAD_CFLAGS := -O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls -pthread -Wall -Wextra -Werror
# As distributions build: no frame pointers.
BARE_CFLAGS := -O2 -g -fomit-frame-pointer -pthread -Wall -Wextra -Werror
RUSTC    ?= rustc
WORKLOADS := $(patsubst tests/workloads/%.c,build/workloads/%,$(wildcard tests/workloads/*.c)) \
             $(patsubst tests/workloads/%.cc,build/workloads/%,$(wildcard tests/workloads/*.cc)) \
             build/workloads/exact-static build/workloads/exact-stripped build/workloads/growth-stripped \
             build/workloads/steer build/workloads/bare build/workloads/bare-cxx build/workloads/bare-late \
             build/workloads/bare-late-library.so $(if $(shell which $(RUSTC)),build/workloads/bare-rust)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
# With the loader and libbpf; they ask the running kernel.
KERNEL_TESTS := $(patsubst tests/kernel/%.c,$(BUILD)/kernel/%,$(wildcard tests/kernel/test_*.c))
TRACE_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard user/trace/*.c))
BENCH_OBJS := $(patsubst tests/bench/%.c,build/bench/%.o,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c))) \
              build/bench/levels-cxx.o

.PHONY: all deps deps-tests demo check check-full bench bench-programs install lint format workloads unit fuzz fuzz-targets clean
.DELETE_ON_ERROR:
.SECONDARY:
all: $(BUILD)/heaptap

# --- the kernel half ----------------------------------------------------------------------------
$(BUILD)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/*.h) | $(BUILD)/
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	@scripts/bpf-sizes.sh $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKELETON,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# --- the user half ------------------------------------------------------------------------------
$(BUILD)/user/%.o: user/%.c | $(SKELETONS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/user/trace/%.o: $(SKELETONS)

$(BUILD)/core.a: $(CORE_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/heaptap: $(APP_OBJS) $(BUILD)/core.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS) -o $@

%/:
	@mkdir -p $@

-include $(CORE_OBJS:.o=.d) $(APP_OBJS:.o=.d)

# --- tests --------------------------------------------------------------------------------------
# Linked without libbpf: if that breaks, the architecture broke.
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/core.a | $(BUILD)/unit/
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(BUILD)/core.a -lcmocka $(CORE_LIBS) -o $@

$(BUILD)/kernel/test_links: LDFLAGS += -Wl,--wrap=pthread_create,--wrap=pthread_join
$(BUILD)/kernel/%: tests/kernel/%.c $(TRACE_OBJS) $(BUILD)/core.a | $(BUILD)/kernel/
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $^ -lcmocka $(LIBS) -o $@

build/workloads/%: tests/workloads/%.c tests/workloads/workload.h | build/workloads/
	$(call say,CC,$<)
	$(Q)$(CC) $(WORKLOAD_CFLAGS) $< -o $@

build/workloads/%: tests/workloads/%.cc tests/workloads/workload.h | build/workloads/
	$(call say,CXX,$<)
	$(Q)$(CXX) $(WORKLOAD_CFLAGS) $< -o $@

build/workloads/bare%.so: tests/workloads/bare/bare%.c | build/workloads/
	$(call say,CC,$<)
	$(Q)$(CC) $(BARE_CFLAGS) -shared -fPIC $< -o $@

build/workloads/bare%: tests/workloads/bare/bare%.c | build/workloads/
	$(call say,CC,$<)
	$(Q)$(CC) $(BARE_CFLAGS) $< -o $@

build/workloads/bare: tests/workloads/bare/bare.c | build/workloads/
	$(call say,CC,$<)
	$(Q)$(CC) $(BARE_CFLAGS) $< -o $@

build/workloads/bare-cxx: tests/workloads/bare/bare-cxx.cc | build/workloads/
	$(call say,CXX,$<)
	$(Q)$(CXX) $(BARE_CFLAGS) $< -o $@

build/workloads/bare-rust: tests/workloads/bare/bare-rust.rs | build/workloads/
	$(call say,RUSTC,$<)
	$(Q)$(RUSTC) -O -g $< -o $@

build/workloads/exact-static: tests/workloads/exact.c tests/workloads/workload.h | build/workloads/
	$(call say,CC,$@)
	$(Q)$(CC) $(WORKLOAD_CFLAGS) -static $< -o $@

build/workloads/growth-stripped: tests/workloads/growth.c tests/workloads/workload.h | build/workloads/
	$(call say,CC,$@)
	$(Q)$(CC) $(WORKLOAD_CFLAGS) -static -s $< -o $@

build/workloads/exact-stripped: build/workloads/exact-static
	$(Q)strip -s $< -o $@

# Drives a session as no command does yet.
build/workloads/steer: tests/e2e/steer.c $(filter build/user/trace/%,$(APP_OBJS)) build/core.a | build/workloads/
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $^ $(LIBS) -o $@

build/bench/%.bpf.o: tests/bench/%.bpf.c | build/bench/
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

build/bench/%.skel.h: build/bench/%.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

build/bench/%.o: tests/bench/%.c $(wildcard tests/bench/*.h) build/bench/floor.skel.h build/bench/tables.skel.h
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 -O2 -g -fno-omit-frame-pointer -Wall -Wextra -Werror -Ibuild/bench -c $< -o $@

build/bench/levels.o: tests/bench/levels.c tests/bench/levels.h | build/bench/
	$(call say,CC,$<)
	$(Q)$(CC) $(BARE_CFLAGS) -c $< -o $@

build/bench/levels-cxx.o: tests/bench/levels-cxx.cc tests/bench/levels.h | build/bench/
	$(call say,CXX,$<)
	$(Q)$(CXX) $(BARE_CFLAGS) -c $< -o $@

build/bench/bench: $(BENCH_OBJS) build/core.a
	$(call say,LINK,$@)
	$(Q)$(CXX) $^ -lbpf $(CORE_LIBS) -o $@

build/truth/unwind: tests/truth/unwind.c user/trace/truth.h $(wildcard include/*.h) | build/truth/
	$(call say,CC,$<)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 -O2 -g -Wall -Wextra -Werror $< -ldw -lelf -o $@

# Into a tree of their own: all that they look at is built for libFuzzer to follow.
$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(BUILD)/core.a | $(BUILD)/fuzz/
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer $< $(BUILD)/core.a $(CORE_LIBS) -o $@

fuzz-targets: $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz:
	$(Q)$(MAKE) --no-print-directory CC=$(CLANG) BUILD=build/fuzz \
		SANITIZER=fuzzer-no-link,address,undefined fuzz-targets

# 10,000 allocation stacks, with what a compiler inlines and says of it.
build/bench/stacks: tests/bench/stacks.py | build/bench/
	$(call say,STACKS,$@)
	$(Q)python3 $< build/bench/sources
	$(Q)cd build/bench/sources && ls *.c *.cc | xargs -P 2 -n 1 $(CC) -O2 -g -fno-omit-frame-pointer -c
	$(Q)$(CXX) build/bench/sources/*.o -o $@

workloads: $(WORKLOADS)
unit: $(UNIT_TESTS) $(KERNEL_TESTS)

deps:
	$(Q)scripts/setup.sh

deps-tests:
	$(Q)scripts/setup.sh --tests

demo: deps
	$(Q)$(MAKE) --no-print-directory all workloads
	$(Q)scripts/demo.sh $(PID)

check: deps-tests
	$(Q)scripts/check.sh

check-full: deps-tests
	$(Q)scripts/check.sh --full

bench-programs: deps-tests
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/programs.sh $(BENCH)

bench: deps-tests
	$(Q)$(MAKE) --no-print-directory all build/bench/bench build/bench/stacks build/workloads/many
	$(Q)build/bench/bench --heaptap build/heaptap $(BENCH)

# --- the rest -----------------------------------------------------------------------------------
lint: $(SKELETONS)
	$(Q)scripts/lint.sh

format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h' '*.cc' | grep -v vmlinux.h)

install: all
	install -D -m 755 $(BUILD)/heaptap $(DESTDIR)$(PREFIX)/bin/heaptap
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/heaptap/README.md

clean:
	rm -rf build
