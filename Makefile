# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            build/heaptap                 V=1: show commands; DEBUG=1: -O0 -g
#   make demo       watch a leaking server        PID=N: watch that process instead
#   make check      all tests that take minutes   check-full: also what takes longer
#   make bench      what tracing costs            BENCH="--quick": arguments
#   make install    PREFIX, DESTDIR
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
CORE_LIBS := -ldw -lelf -llzma -lz -lZydis -liberty -lm
LIBS      := -lbpf $(CORE_LIBS) -lpthread

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
             build/workloads/bare build/workloads/bare-cxx build/workloads/bare-late \
             build/workloads/bare-late-library.so $(if $(shell which $(RUSTC)),build/workloads/bare-rust)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
BENCH_OBJS := $(patsubst tests/bench/%.c,build/bench/%.o,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))

.PHONY: all deps demo check check-full bench install lint format workloads unit clean
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
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

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

build/bench/%.bpf.o: tests/bench/%.bpf.c | build/bench/
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

build/bench/%.skel.h: build/bench/%.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

build/bench/%.o: tests/bench/%.c $(wildcard tests/bench/*.h) build/bench/floor.skel.h build/bench/tables.skel.h
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 -O2 -g -fno-omit-frame-pointer -Wall -Wextra -Werror -Ibuild/bench -c $< -o $@

build/bench/bench: $(BENCH_OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $^ -lbpf -lelf -lz -lm -o $@

build/truth/unwind: tests/truth/unwind.c user/trace/truth.h $(wildcard include/*.h) | build/truth/
	$(call say,CC,$<)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 -O2 -g -Wall -Wextra -Werror $< -ldw -lelf -o $@

workloads: $(WORKLOADS)
unit: $(UNIT_TESTS)

deps:
	$(Q)scripts/setup.sh

demo: deps
	$(Q)$(MAKE) --no-print-directory all workloads
	$(Q)scripts/demo.sh $(PID)

check: deps
	$(Q)scripts/check.sh

check-full: deps
	$(Q)scripts/check.sh --full

bench: deps
	$(Q)$(MAKE) --no-print-directory all build/bench/bench
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
