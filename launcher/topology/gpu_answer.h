// What one source of GPUs (NVML, CUDA, /proc) told, as data that crosses a pipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

inline constexpr int kNvidiaVendor = 0x10de;
inline constexpr int kAmdVendor = 0x1002;
inline constexpr int kIntelVendor = 0x8086;

struct GpuAnswer {
  enum class Outcome {
    kFound,      // it was asked and told; perhaps that there is none
    kNoLibrary,  // there is no such library, or it is another one
    kFailed,     // it refused: `status` and `error`
    kTooLate,    // it did not answer
  };

  Outcome outcome = Outcome::kFound;
  int status = 0;       // NVML's or CUDA's number for the error
  std::string error;    // its words for it
  std::string version;  // of the driver
  std::vector<Gpu> gpus;
  std::vector<Note> notes;
  std::vector<int> left_out =
      {};  // the source's numbers of GPUs that it counts and that are not in `gpus`

  friend bool operator==(const GpuAnswer&, const GpuAnswer&) = default;
};

std::string to_text(const GpuAnswer& answer);
std::optional<GpuAnswer> gpu_answer_of(const std::string& text);

}  // namespace muster::topology
