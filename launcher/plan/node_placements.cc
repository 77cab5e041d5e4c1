#include "launcher/plan/node_placements.h"

#include <cctype>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "launcher/plan/placement.h"

namespace muster::plan {
namespace {

using topology::NodeInventory;

// Where a node's name stands in a text that may be said of several.
constexpr const char* kNode = "\x01";

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
}

// Names follow "of" or "on", and may be letters of any other word.
std::string without_name(std::string text, const std::string& hostname) {
  if (hostname.empty()) return text;
  for (std::size_t at = 3; (at = text.find(hostname, at)) != std::string::npos; ++at) {
    const std::string before = text.substr(at - 3, 3);
    const std::size_t end = at + hostname.size();
    if (before != "of " && before != "on ") continue;
    if (end < text.size() && is_of_word(text[end])) continue;
    text.replace(at, hostname.size(), kNode);
  }
  return text;
}

std::string with_name(std::string text, const std::string& name) {
  for (std::size_t at = 0; (at = text.find(kNode, at)) != std::string::npos; at += name.size()) {
    text.replace(at, 1, name);
  }
  return text;
}

// Collects what is said of nodes, and says it once: "placement on node-a and 15 others".
class Collected {
 public:
  void add(const NodePlacement& placement, const std::string& hostname) {
    for (const Reason& reason : placement.reasons) {
      count({without_name(reason.subject, hostname), reason.value,
             without_name(reason.why, hostname)},
            hostname, reasons_);
    }
    for (const std::string& warning : placement.warnings) {
      count({without_name(warning, hostname), "", ""}, hostname, warnings_);
    }
  }

  PlacementNotes notes() const {
    PlacementNotes notes;
    for (const Said& said : reasons_.in_order) {
      const auto& [subject, value, why] = said.text;
      notes.reasons.push_back({with_name(subject, said.who()), value, with_name(why, said.who())});
    }
    for (const Said& said : warnings_.in_order) {
      notes.warnings.push_back(with_name(std::get<0>(said.text), said.who()));
    }
    return notes;
  }

 private:
  using Text = std::tuple<std::string, std::string, std::string>;

  struct Said {
    Text text;
    std::string first;
    int nodes = 1;

    std::string who() const {
      return nodes == 1 ? first
                        : fmt::format("{} and {} other{}", first, nodes - 1, nodes == 2 ? "" : "s");
    }
  };

  struct All {
    std::vector<Said> in_order;
    std::map<Text, std::size_t> places;
  };

  static void count(Text text, const std::string& hostname, All& all) {
    const auto [place, is_new] = all.places.emplace(text, all.in_order.size());
    if (is_new) {
      all.in_order.push_back({std::move(text), hostname});
    } else {
      ++all.in_order[place->second].nodes;
    }
  }

  All reasons_;
  All warnings_;
};

// What discovery warned of: a GPU that is left out, a list that ends early.  Where a device is and
// in which order CUDA counts are told with the placement and the environment; a run on CPUs does
// not care for GPUs.
void warn_of_discovery(const config::RunConfig& config, const NodeInventory& inventory,
                       NodePlacement& placement) {
  if (config.resources.gpus_per_process.value == 0) return;
  for (const topology::Note& note : inventory.notes) {
    if (note.kind != topology::Note::Kind::kWarning || note.subject == "locality" ||
        note.subject == "CUDA_DEVICE_ORDER") {
      continue;
    }
    placement.warnings.push_back(note.hint.empty() ? note.text : note.text + "; " + note.hint);
  }
}

}  // namespace

Result<PlacementNotes> place_nodes(const config::RunConfig& config, const PlanInputs& inputs,
                                   const ProcessCounts& counts, LaunchPlan& plan) {
  Collected collected;
  PlacementRequest request;
  request.resources = config.resources;
  for (std::size_t i = 0; i < counts.by_node.size(); ++i) {
    const NodeInventory& inventory = inputs.nodes[i];
    request.process_count = counts.by_node[i];
    // The head plans for the others without knowing what their other runs hold.
    request.held = i == 0 && !inputs.part ? inputs.held : std::vector<HeldByRun>{};
    MUSTER_TRY_ASSIGN(NodePlacement placement, place(inventory, request));
    const int first =
        (inputs.part ? inputs.part->first_rank : 0) + static_cast<int>(plan.ranks.size());
    const int node_rank = inputs.part ? inputs.part->node_rank : static_cast<int>(i);
    for (RankPlacement& rank : placement.ranks) {
      rank.rank = first + rank.local_rank;
      rank.node_rank = node_rank;
      plan.ranks.push_back(std::move(rank));
    }
    placement.node.node_rank = node_rank;
    placement.node.first_rank = first;
    placement.node.hostname = inventory.hostname;
    placement.node.rank_count = request.process_count.value;
    plan.nodes.push_back(std::move(placement.node));
    plan.oversubscribed = plan.oversubscribed || placement.oversubscribed;
    warn_of_discovery(config, inventory, placement);
    collected.add(placement, inventory.hostname);
  }
  plan.node_count = counts.node_count;
  plan.world_size = static_cast<int>(plan.ranks.size());
  plan.process_count_per_node = counts.by_node.front().value;
  if (inputs.part) {
    plan.world_size = inputs.part->world_size;
    plan.process_count_per_node = inputs.part->process_count_per_node;
  }
  return collected.notes();
}

}  // namespace muster::plan
