// A list as CUDA_VISIBLE_DEVICES has it, resolved against the GPUs that are there.  Pure.
//
// The rules are those of NVIDIA's CUDA programming guide, appendix "CUDA environment variables":
// indexes or UUIDs, of which enough first digits will do; the first entry that is invalid ends the
// list; an empty list is no GPU at all.  Of what the guide leaves open we follow what PyTorch found
// out (torch/cuda/__init__.py, _parse_visible_devices): an index is read as strtoul does, "1gpu2"
// is 1; a GPU that is named twice makes the whole list void; indexes and UUIDs do not mix.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::topology {

struct VisibleList {
  std::vector<std::size_t> gpus;  // positions in `all`, in the order of the list
  std::string end_entry;          // the entry that ended the list early; "" none did
  std::string end_reason;         // why it did
  bool is_empty = false;          // the list was empty or began with "-1"
  std::string twice;              // the entry whose GPU was named before; the list is void
  bool has_index = false;         // it has GPUs by number, whose meaning depends on their order
};

// `left_out`: numbers that mean a GPU which is not in `all`; the others count the GPUs of `all`.
VisibleList resolve_visible_list(std::string_view list, const std::vector<Gpu>& all,
                                 const std::vector<int>& left_out = {});

}  // namespace muster::topology
