// inventory_from_json(): what a member of a run says its node is, as any bytes.

#include "launcher/topology/inventory_json.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto node = topology::inventory_from_json(fuzz::text_of(data, size));
  if (!node) {
    fuzz::require(!node.error().message.empty(), "a refusal says why");
    return 0;
  }
  // What is taken is said again in the same words.
  const std::string line = topology::inventory_line(*node);
  const auto again = topology::inventory_from_json(line);
  fuzz::require(again.has_value(), "what is said is read back");
  fuzz::require(topology::inventory_line(*again) == line, "and is the same");
  return 0;
}
