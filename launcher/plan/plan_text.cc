#include "launcher/plan/plan_text.h"

#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "base/text_table.h"
#include "launcher/plan/placement_words.h"
#include "launcher/plan/planned_ports.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::plan {
namespace {

using Align = TextTable::Align;

std::string header(const LaunchPlan& plan) {
  const auto nodes = static_cast<std::int64_t>(plan.nodes.size());
  std::string started = config::to_string(plan.backend);
  if (plan.mpirun) started += ", Open MPI " + plan.mpirun->version;
  if (plan.asked_node_count > 1) {
    started += fmt::format("; --one-node, instead of {} nodes", plan.asked_node_count);
  }
  const bool is_part = plan.of_several_nodes() && nodes == 1;
  const std::string where = is_part ? fmt::format("{}, node {} of {}", plan.nodes.front().hostname,
                                                  plan.nodes.front().node_rank, plan.node_count)
                                    : counted(nodes, "node");
  return fmt::format("plan: {} on {} ({})\n\n  run  {}\n  in   {}{}\n",
                     counted(static_cast<std::int64_t>(plan.ranks.size()), "rank"), where, started,
                     shell_quoted(plan.argv), plan.working_directory,
                     plan.in_place ? " (in place)" : "");
}

// Where a rank's cores are: "0-1", with "?" for a home that nobody could tell; without cores of
// its own, the nodes of its memory.
std::string numa_list(const RankPlacement& rank) {
  std::vector<int> known;
  bool unknown = false;
  for (const int node : rank.numa_nodes) {
    if (node == topology::kUnknown) {
      unknown = true;
    } else {
      known.push_back(node);
    }
  }
  if (rank.numa_nodes.empty()) known = rank.memory_nodes;
  const std::string text = CpuSet::from_vector(known).to_string();
  if (unknown) return text.empty() ? "?" : text + ",?";
  return text.empty() ? "-" : text;
}

// A few whole ones: a rank with eight GPUs would make the table wider than any terminal.
std::string bus_ids(const RankPlacement& rank) {
  constexpr std::size_t kShown = 2;
  std::vector<std::string> shown;
  for (const topology::Gpu& gpu : rank.gpus) {
    if (shown.size() < kShown && !gpu.bus_id.empty()) shown.push_back(gpu.bus_id);
  }
  const std::string text = join(shown, ",");
  return rank.gpus.size() > kShown ? fmt::format("{} + {}", text, rank.gpus.size() - kShown) : text;
}

std::string rank_table(const LaunchPlan& plan, const std::vector<AlikeNodes>& kinds) {
  TextTable table({{"rank", Align::kRight},
                   {"node"},
                   {"local", Align::kRight},
                   {"GPU", Align::kRight},
                   {"bus id"},
                   {"NUMA"},
                   {"cores", Align::kRight},
                   {"CPUs"},
                   {"memory"},
                   {"NIC"},
                   {"role"},
                   {"score", Align::kRight},
                   {"why"}});
  const bool with_gpus = std::any_of(plan.ranks.begin(), plan.ranks.end(),
                                     [](const RankPlacement& rank) { return !rank.gpus.empty(); });
  for (const AlikeNodes& kind : kinds) {
    for (const RankPlacement* rank : kind.ranks.front()) {
      table.add_row({std::to_string(rank->rank), kind.nodes.front()->hostname,
                     std::to_string(rank->local_rank), gpus_in_words(*rank), bus_ids(*rank),
                     numa_list(*rank), rank->bound ? std::to_string(rank->core_count) : "shared",
                     rank->cpuset.to_string(), memory_in_words(*rank), join(rank->nics, ","),
                     has_roles(plan) ? to_string(rank->role) + std::string(" ") +
                                           std::to_string(rank->role_index)
                                     : "",
                     with_gpus ? fmt::format("{:.2f}", rank->locality) : "", rank->why});
    }
  }
  return table.without_empty_columns().to_string("  ");
}

// What was chosen on each kind of node, and among what.
std::string nodes_text(const std::vector<AlikeNodes>& kinds) {
  std::string text;
  for (const AlikeNodes& kind : kinds) {
    const NodePlan& node = *kind.nodes.front();
    if (kind.nodes.size() > 1) {
      text += fmt::format("  {} stands for {} nodes that are placed alike: also {}\n",
                          node.hostname, kind.nodes.size(), others_in_words(kind));
    }
    if (node.layout.empty()) continue;
    text += fmt::format("  {}: layout {}", node.hostname, node.layout);
    if (node.score != PlacementScore{}) text += ", " + score_in_words(node.score);
    text += "\n";
    if (node.candidates.size() > 1) {
      text += "    looked at: " + candidates_in_words(node) + "\n";
    }
    if (!node.idle_gpus.empty()) {
      text += "    without a rank: GPU " + CpuSet::from_vector(node.idle_gpus).to_string() + "\n";
    }
    if (!node.visible_devices.empty()) {
      text += "    all ranks see GPUs " + join(node.visible_devices, ",") + "\n";
    }
  }
  return text.empty() ? "" : "\n" + text;
}

std::string reasons_table(const LaunchPlan& plan) {
  TextTable table({{"what"}, {"value"}, {"why"}});
  for (const Reason& reason : plan.reasons) {
    table.add_row({reason.subject, reason.value, reason.why});
  }
  return table.to_string("  ");
}

std::string shown(const EnvironmentVariable& variable) {
  return variable.name + "=" + shell_quoted(variable.value);
}

constexpr std::size_t kValuesShown = 8;

// Null for a rank without it: ranks without a NIC are told of none.
const EnvironmentVariable* find_variable(const std::vector<EnvironmentVariable>& variables,
                                         const std::string& name) {
  const auto found = std::find_if(variables.begin(), variables.end(),
                                  [&](const auto& each) { return each.name == name; });
  return found == variables.end() ? nullptr : &*found;
}

// The variables that some rank has, in the order in which ranks first have them.
std::vector<const EnvironmentVariable*> variables_of_ranks(const LaunchPlan& plan) {
  std::vector<const EnvironmentVariable*> found;
  std::set<std::string_view> names;
  for (const auto& variables : plan.rank_environment) {
    for (const EnvironmentVariable& variable : variables) {
      if (names.insert(variable.name).second) found.push_back(&variable);
    }
  }
  return found;
}

// One variable of every rank in one cell: "RANK=0, 1, 2, 3", "-" for a rank without it; plan.json
// has each in full.
std::string shown_together(const LaunchPlan& plan, const std::string& name) {
  std::string text = name + "=";
  for (std::size_t rank = 0; rank < plan.rank_environment.size(); ++rank) {
    if (rank == kValuesShown) return text + ", …";
    const auto* variable = find_variable(plan.rank_environment[rank], name);
    text += rank == 0 ? "" : ", ";
    text += variable == nullptr ? "-" : shell_quoted(variable->value);
  }
  return text;
}

bool is_equal_in_all_ranks(const LaunchPlan& plan, const EnvironmentVariable& first) {
  return std::all_of(plan.rank_environment.begin(), plan.rank_environment.end(),
                     [&](const auto& variables) {
                       const auto* other = find_variable(variables, first.name);
                       return other != nullptr && other->value == first.value;
                     });
}

// Nodes of different kinds give their ranks different names.
std::string environment_table(const LaunchPlan& plan) {
  TextTable table({{"ranks"}, {"variable"}, {"origin"}});
  for (const EnvironmentVariable& variable : plan.common_environment) {
    table.add_row({"all", shown(variable), variable.origin});
  }
  for (const EnvironmentVariable* variable : variables_of_ranks(plan)) {
    const bool equal = is_equal_in_all_ranks(plan, *variable);
    table.add_row({equal ? "all" : "each",
                   equal ? shown(*variable) : shown_together(plan, variable->name),
                   variable->origin});
  }
  return table.to_string("  ");
}

std::string data_table(const DataPlan& data) {
  TextTable table({{"name"}, {"mode"}, {"by"}, {"from or to"}, {"ranks see"}, {"why"}});
  for (const DataItem& item : data.items) {
    const bool moved = item.means != DataMeans::kLiteral;
    table.add_row({(item.is_output ? "output " : "input ") + item.name,
                   moved ? to_string(item.mode) : "-", to_string(item.means),
                   item.place && moved ? item.place->location : item.written, item.value,
                   item.why});
  }
  std::string text = table.to_string("  ");
  for (const DataItem& item : data.items) {
    for (const HelperCommand& helper : item.helpers) {
      text += "  " + item.name + ": " + shell_quoted(helper.argv) + "\n";
    }
  }
  return text;
}

std::string dropped(const std::vector<std::string>& names, std::string_view from) {
  if (names.empty()) return "";
  return fmt::format("  not passed to {}: {}\n", from, join(names, ", "));
}

std::string indented(const std::string& lines) {
  std::string text;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    text += "  " + lines.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return text;
}

std::string first_lines(const std::string& text) {
  constexpr std::size_t kShown = 8;
  std::size_t end = 0;
  for (std::size_t line = 0; line < kShown && end < text.size(); ++line) {
    end = text.find('\n', end) + 1;
  }
  return text.substr(0, end) + (end < text.size() ? "…\n" : "");
}

std::string mpirun_table(const MpirunCommand& mpirun) {
  TextTable table({{"words"}, {"why"}});
  for (const MpirunWords& group : mpirun.words) {
    table.add_row({shell_quoted(group.words), group.why});
  }
  for (const EnvironmentVariable& variable : mpirun.environment) {
    table.add_row({shown(variable), variable.origin + " (in its environment)"});
  }
  std::string text = table.to_string("  ");
  if (!mpirun.hostfile.empty()) {
    text += "\nhostfile (" + mpirun.hostfile_variable + "; its names resolve nowhere)\n" +
            indented(first_lines(mpirun.hostfile));
  }
  if (mpirun.binds()) text += "\nrankfile (mpirun's input)\n" + indented(mpirun.rankfile);
  return text;
}

std::string python_text(const PythonPlan& python) {
  if (!python.needed()) return "";
  const bool conda = python.kind == PythonPlan::Kind::kConda;
  std::string text = "\nPython environment\n  key       " + python.key +
                     (python.made ? ", made already\n" : ", made at the start of the run\n");
  text += "  in        " + python.prefix() + "\n";
  text += "  from      " +
          (conda ? python.conda->executable
                 : python.interpreter.executable + " " + python.interpreter.version +
                       (python.system_site_packages ? ", with the packages that it has"
                                                    : ", without the packages that it has")) +
          "\n";
  text += "  packages  " + join(python.shown_packages(), ", ") + "\n";
  return text;
}

std::string ports_table(const LaunchPlan& plan) {
  TextTable table({{"who listens"}, {"port"}, {"where"}, {"why"}});
  for (const PlannedPort& port : planned_ports(plan)) {
    table.add_row({port.who, port.port, port.where, port.why});
  }
  return table.to_string("  ");
}

}  // namespace

std::string plan_text(const LaunchPlan& plan) {
  std::string text = header(plan);
  const std::vector<AlikeNodes> kinds = alike_nodes(plan);
  text += "\n" + rank_table(plan, kinds) + nodes_text(kinds);
  if (!plan.warnings.empty()) {
    text += "\nwarnings\n";
    for (const std::string& warning : plan.warnings) text += "  " + warning + "\n";
  }
  text += python_text(plan.python);
  text += "\nreasons\n" + reasons_table(plan);
  if (!plan.data.empty()) text += "\ndata\n" + data_table(plan.data);
  if (plan.of_several_nodes()) text += "\nports\n" + ports_table(plan);
  text += "\nenvironment\n" + environment_table(plan);
  text += dropped(plan.dropped_from_ranks, "ranks");
  text += dropped(plan.dropped_from_mpirun, "mpirun");
  if (plan.mpirun)
    text += "\nmpirun (" + plan.mpirun->executable + ")\n" + mpirun_table(*plan.mpirun);
  text += "\n" + plan_argv(plan);
  return text;
}

std::string plan_argv(const LaunchPlan& plan) {
  return shell_quoted(plan.mpirun ? plan.mpirun->argv() : plan.argv) + "\n";
}

}  // namespace muster::plan
