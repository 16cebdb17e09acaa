#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kill -9 of heaptap. HEAPTAP_KILLS is how often.

load helpers
load kills

@test "kill -9 of heaptap at random moments under load: the target goes on, nothing of heaptap stays" {
	kill_rounds "${HEAPTAP_KILLS:-25}"
}
