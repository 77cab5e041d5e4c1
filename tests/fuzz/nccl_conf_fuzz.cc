// parse_nccl_conf(): any bytes.

#include <set>

#include "launcher/topology/nccl_files.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto settings = topology::parse_nccl_conf(fuzz::text_of(data, size), "/etc/nccl.conf");
  std::set<std::string> names;
  for (const auto& setting : settings) {
    fuzz::require(!setting.name.empty(), "a setting has a name");
    fuzz::require(setting.name.find_first_of(std::string_view("=\n\0", 3)) == std::string::npos,
                  "a name fits into the environment");
    fuzz::require(setting.value.find_first_of(std::string_view("\n\0", 2)) == std::string::npos,
                  "a value fits into the environment");
    fuzz::require(names.insert(setting.name).second, "each name stands once");
  }
  return 0;
}
