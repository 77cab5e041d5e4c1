// parse_rank_list(): what stands behind --rank.

#include <algorithm>

#include "launcher/cli/log_request.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto ranks = cli::parse_rank_list(fuzz::text_of(data, size));
  if (!ranks) {
    fuzz::require(!ranks.error().message.empty(), "an error says something");
    return 0;
  }
  fuzz::require(!ranks->empty(), "a list names a rank");
  fuzz::require(std::is_sorted(ranks->begin(), ranks->end()), "ranks are sorted");
  fuzz::require(std::adjacent_find(ranks->begin(), ranks->end()) == ranks->end(), "each once");
  return 0;
}
