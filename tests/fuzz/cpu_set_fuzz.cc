// CpuSet::parse(): lists from the kernel, from cgroups, from messages.

#include "base/cpu_set.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto set = CpuSet::parse(fuzz::text_of(data, size));
  if (!set) {
    fuzz::require(!set.error().message.empty(), "an error says something");
    return 0;
  }
  const auto again = CpuSet::parse(set->to_string());
  fuzz::require(again && *again == *set, "what is printed reads as the same set");
  fuzz::require(set->count() == static_cast<int>(set->to_vector().size()), "count() counts");
  return 0;
}
