#include "launcher/plan/plan_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "base/text_table.h"
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
  return fmt::format("plan: {} on {} ({})\n\n  run  {}\n  in   {}{}\n",
                     counted(plan.world_size, "rank"), counted(nodes, "node"), started,
                     shell_quoted(plan.argv), plan.working_directory,
                     plan.in_place ? " (in place)" : "");
}

std::string numa_list(const RankPlacement& rank) {
  return rank.memory_nodes.empty() ? "-" : CpuSet::from_vector(rank.memory_nodes).to_string();
}

std::string rank_table(const LaunchPlan& plan) {
  std::vector<TextTable::Column> columns = {{"rank", Align::kRight},
                                            {"node"},
                                            {"local", Align::kRight},
                                            {"cores", Align::kRight},
                                            {"CPUs"},
                                            {"NUMA"},
                                            {"memory"}};
  if (has_roles(plan)) columns.push_back({"role"});
  TextTable table(columns);
  for (const RankPlacement& rank : plan.ranks) {
    const NodePlan& node = plan.nodes[static_cast<std::size_t>(rank.node_rank)];
    std::vector<std::string> row = {std::to_string(rank.rank),
                                    node.hostname,
                                    std::to_string(rank.local_rank),
                                    rank.bound ? std::to_string(rank.core_count) : "shared",
                                    rank.cpuset.to_string(),
                                    numa_list(rank),
                                    rank.memory_nodes.empty() ? "default" : "preferred"};
    if (has_roles(plan))
      row.push_back(to_string(rank.role) + " " + std::to_string(rank.role_index));
    table.add_row(row);
  }
  return table.to_string("  ");
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

// One variable of every rank in one cell: "RANK=0, 1, 2, 3"; plan.json has each in full.
std::string shown_together(const LaunchPlan& plan, std::size_t index) {
  std::string text = plan.rank_environment.front()[index].name + "=";
  for (std::size_t rank = 0; rank < plan.rank_environment.size(); ++rank) {
    if (rank == kValuesShown) return text + ", …";
    text += (rank == 0 ? "" : ", ") + shell_quoted(plan.rank_environment[rank][index].value);
  }
  return text;
}

bool is_equal_in_all_ranks(const LaunchPlan& plan, std::size_t index) {
  const std::string& first = plan.rank_environment.front()[index].value;
  return std::all_of(plan.rank_environment.begin(), plan.rank_environment.end(),
                     [&](const auto& variables) { return variables[index].value == first; });
}

// Every rank has the same names in the same order; only values differ.
std::string environment_table(const LaunchPlan& plan) {
  TextTable table({{"ranks"}, {"variable"}, {"origin"}});
  for (const EnvironmentVariable& variable : plan.common_environment) {
    table.add_row({"all", shown(variable), variable.origin});
  }
  const auto& first_rank = plan.rank_environment.front();
  for (std::size_t i = 0; i < first_rank.size(); ++i) {
    const bool equal = is_equal_in_all_ranks(plan, i);
    table.add_row({equal ? "all" : "each", equal ? shown(first_rank[i]) : shown_together(plan, i),
                   first_rank[i].origin});
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

std::string mpirun_table(const MpirunCommand& mpirun) {
  TextTable table({{"words"}, {"why"}});
  for (const MpirunWords& group : mpirun.words) {
    table.add_row({shell_quoted(group.words), group.why});
  }
  for (const EnvironmentVariable& variable : mpirun.environment) {
    table.add_row({shown(variable), variable.origin + " (in its environment)"});
  }
  return table.to_string("  ");
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

}  // namespace

std::string plan_text(const LaunchPlan& plan) {
  std::string text = header(plan);
  text += "\n" + rank_table(plan);
  if (!plan.warnings.empty()) {
    text += "\nwarnings\n";
    for (const std::string& warning : plan.warnings) text += "  " + warning + "\n";
  }
  text += python_text(plan.python);
  text += "\nreasons\n" + reasons_table(plan);
  if (!plan.data.empty()) text += "\ndata\n" + data_table(plan.data);
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
