// What became of many ranks in few words: equal ends are told once.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/run_outcome.h"

namespace muster::report {

// "rank 4", "ranks 0-2, 5"
std::string rank_list(std::vector<int> ranks);

// How this rank ended, without the subject: "exited with 7", "was never started".
std::string end_of(const plan::RankOutcome& rank);

// How ranks were seen to run elsewhere than planned; differences that are the same but for their
// numbers are told once, with the first rank's: "ranks 0-3: rank 0's process 4711 (python3) …".
std::vector<std::string> placement_text(const std::vector<plan::RankOutcome>& ranks);

// Sentences on every rank but the first one to fail, grouped by how they ended:
// "the other 7 ranks were ended because of it: 6 by SIGTERM, 1 by SIGKILL".
std::vector<std::string> others_text(const plan::RunOutcome& outcome);

}  // namespace muster::report
