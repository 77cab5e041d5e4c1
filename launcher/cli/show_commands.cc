// The commands that show and change nothing: plan, validate, topo.

#include <filesystem>

#include "base/files.h"
#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/node_leases.h"
#include "launcher/cli/run_lease.h"
#include "launcher/cli/run_membership.h"
#include "launcher/cli/validate_tree.h"
#include "launcher/plan/picture_svg.h"
#include "launcher/plan/plan_json.h"
#include "launcher/plan/plan_text.h"
#include "launcher/topology/export.h"
#include "launcher/topology/inventory_json.h"
#include "launcher/topology/inventory_text.h"

namespace muster::cli {
namespace {

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

plan::Theme theme_of(const CommandLine& line) {
  const std::string word = line.text("theme").value_or("auto");
  if (word == "light") return plan::Theme::kLight;
  return word == "dark" ? plan::Theme::kDark : plan::Theme::kAuto;
}

// What would be ignored is refused.
Result<> check_topo_options(const CommandLine& line) {
  const std::vector<std::string> files = line.texts("topology");
  if (files.size() > 1) {
    return fail(ErrorCode::kUsage,
                "topo shows one node, and --topology is given " + std::to_string(files.size()) +
                    " times: " + join(files, ", "),
                "run muster topo once for each; muster plan takes several");
  }
  // MUSTER_FORMAT may be left behind in a shell; a word was meant for this time.
  const auto format = line.given.find("format");
  if (line.has("export") && format != line.given.end() &&
      format->second.back().by.starts_with('-')) {
    return fail(ErrorCode::kUsage, "--export writes hwloc XML, and no " + line.as_given("format"),
                "give one of the two");
  }
  if (line.has("anonymous") && !line.has("export")) {
    return fail(ErrorCode::kUsage, "--anonymous is of --export, which is not given",
                "write muster topo --export FILE --anonymous");
  }
  return {};
}

CommandResult export_topology(const CommandLine& line, const topology::NodeInventory& inventory) {
  const std::string file = line.text("export").value_or("");
  const bool to_stdout = file == "-";
  std::error_code error;
  if (!to_stdout && std::filesystem::exists(std::filesystem::symlink_status(file, error))) {
    return problem(Error{ErrorCode::kUsage, file + " exists, and is not replaced",
                         "remove it, or name another with --export", std::nullopt});
  }
  auto xml = topology::exported_topology(
      line.topology_file, inventory,
      line.has("anonymous") ? topology::ExportName::kNone : topology::ExportName::kHostname);
  if (!xml) return problem(std::move(xml).error());
  if (to_stdout) return print(*xml);
  if (auto written = replace_file(file, *xml); !written) {
    return problem(std::move(written).error());
  }
  return print("wrote " + file + "\n");
}

}  // namespace

CommandResult plan_command(const CommandLine& line) {
  auto run = load_run(line);
  if (!run) return tl::unexpected<Problems>(std::move(run).error());
  if (line.topology_file.empty()) look_at_leases(*run);
  auto plan = plan::make_plan(run->config, run->inputs);
  if (!plan) return problem(std::move(plan).error());
  // Nothing is joined here, and a plan for elsewhere need not know where its nodes meet.
  const auto membership = run_membership(line, run->config, caller_environment());
  if (membership && membership->several()) {
    plan->reasons.push_back({"membership", membership->scheduler, membership_text(*membership)});
  }
  switch (line.format) {
    case Format::kText: return print(plan::plan_text(*plan));
    case Format::kJson: return print(plan::plan_json(*plan));
    case Format::kArgv: return print(plan::plan_argv(*plan));
    case Format::kSvg:
      return print(plan::picture_svg(plan::picture_of(*plan, run->inputs.nodes), theme_of(line)));
  }
  return 0;
}

CommandResult validate_command(const CommandLine& line) {
  std::error_code error;
  if (line.words.size() == 1 && std::filesystem::is_directory(line.words.front(), error)) {
    return validate_tree(line, line.words.front());
  }
  std::string text;
  auto config = load_config(line, text);
  if (!config) return tl::unexpected<Problems>(std::move(config).error());
  return print(line.format == Format::kJson ? config::describe_json(*config)
                                            : config::describe_text(*config));
}

CommandResult topo_command(const CommandLine& line) {
  if (auto checked = check_topo_options(line); !checked) {
    return problem(std::move(checked).error());
  }
  auto inventory = topology::discover(topology_options(line, caller_environment()));
  if (!inventory) return problem(std::move(inventory).error());
  if (line.has("export")) return export_topology(line, *inventory);
  // Others' leases are this node's, and no file's.
  const auto leases =
      line.topology_file.empty() ? leases_of_node() : std::vector<exec::LeaseRecord>();
  switch (line.format) {
    case Format::kJson: return print(with_leases_json(topology::topology_json(*inventory), leases));
    case Format::kSvg:
      return print(plan::picture_svg(plan::picture_of(*inventory), theme_of(line)));
    default: return print(topology::topology_text(*inventory) + leases_text(leases));
  }
}

}  // namespace muster::cli
