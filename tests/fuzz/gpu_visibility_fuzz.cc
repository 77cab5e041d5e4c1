// visible_gpus(): what a caller may write into CUDA_VISIBLE_DEVICES and its like.  The parts of an
// input, divided by lines "%%", are CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER, ROCR_VISIBLE_DEVICES
// and HIP_VISIBLE_DEVICES; the GPUs are whole ones, a partitioned one, and once more as AMD's.

#include <algorithm>
#include <set>

#include "launcher/topology/gpu_answer.h"
#include "launcher/topology/visible_gpus.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;
using namespace muster::topology;

Gpu gpu(const std::string& uuid, const std::string& parent, int instance, int vendor) {
  Gpu one;
  one.uuid = uuid;
  one.parent_uuid = parent;
  one.gpu_instance = instance;
  one.compute_instance = 0;
  one.model = instance < 0 ? "NVIDIA A100" : "NVIDIA A100 MIG 1g.5gb";
  one.vendor = vendor;
  return one;
}

std::vector<Gpu> node(int vendor) {
  return {gpu("GPU-8932f937-d72c", "", -1, vendor), gpu("GPU-8932aaaa-0000", "", -1, vendor),
          gpu("MIG-4d806f22", "GPU-1111", 1, vendor), gpu("MIG-4d80ffff", "GPU-1111", 2, vendor),
          gpu("GPU-5ba3", "", -1, vendor)};
}

bool is_printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return (c >= 0 && c < 32 && c != 9) || c == 127; });
}

void check(const std::vector<Gpu>& all, const std::map<std::string, std::string>& environment) {
  const VisibleGpus gpus = visible_gpus(all, environment);
  std::set<std::string> uuids;
  int ordinal = 0;
  for (const Gpu& one : gpus.visible) {
    uuids.insert(one.uuid);
    fuzz::require(one.visible_ordinal == ordinal++, "ordinals count the visible ones");
    fuzz::require(one.hidden_because.empty(), "a visible GPU is not hidden");
  }
  for (const Gpu& one : gpus.hidden) {
    uuids.insert(one.uuid);
    fuzz::require(one.visible_ordinal == kUnknown, "a hidden GPU has no ordinal");
    fuzz::require(!one.hidden_because.empty(), "a hidden GPU says why");
    fuzz::require(is_printable(one.hidden_because), "a reason can be printed");
  }
  fuzz::require(
      gpus.visible.size() + gpus.hidden.size() == all.size() && uuids.size() == all.size(),
      "each GPU is visible or hidden, once");
  for (const Note& note : gpus.notes) {
    fuzz::require(!note.text.empty() && is_printable(note.text), "a note can be printed");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  constexpr const char* kNames[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
                                    "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"};
  std::map<std::string, std::string> environment;
  for (std::size_t at = 0; at < parts.size() && at < std::size(kNames); ++at) {
    environment[kNames[at]] = parts[at];
  }
  check(node(kNvidiaVendor), environment);
  check(node(kAmdVendor), environment);
  check({}, environment);
  return 0;
}
