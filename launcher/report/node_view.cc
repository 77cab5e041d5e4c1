#include "launcher/report/node_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "launcher/report/followed_file.h"
#include "launcher/topology/gpu_reading.h"

namespace muster::report {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::json;

// More than what comes between two times that a lasting value is written.
constexpr std::uint64_t kEndOfFile = 128 * 1024;
constexpr auto kOld = 30s;
constexpr double kPressure = 1;  // percent of the time; less is nothing to speak of

std::optional<double> value_of(const NodeValues& values, std::string_view name) {
  const auto found = values.find(name);
  if (found == values.end()) return std::nullopt;
  return found->second;
}

std::string percent(double value) {
  return std::to_string(std::lround(value)) + "%";
}

std::string bytes(double value) {
  return format_bytes(static_cast<std::uint64_t>(std::clamp(value, 0.0, 9e18)));
}

std::string rounded(double value) {
  return std::to_string(std::lround(value));
}

// "52.0 GiB of 64.0 GiB"
void add_used(std::vector<std::string>& parts, const std::string& what, std::optional<double> used,
              std::optional<double> all) {
  if (!used) return;
  parts.push_back(what + bytes(*used) + (all ? " of " + bytes(*all) : ""));
}

std::string cpu_text(const NodeValues& values) {
  const auto busy = value_of(values, "cpu.percent");
  const auto load = value_of(values, "load.1m");
  std::vector<std::string> parts;
  if (busy) {
    std::vector<std::string> more;
    for (const auto& [name, shown] : {std::pair("cpu.iowait_percent", "I/O wait "),
                                      std::pair("cpu.steal_percent", "stolen ")}) {
      const auto value = value_of(values, name);
      if (value && *value >= kPressure) more.push_back(shown + percent(*value));
    }
    parts.push_back("CPU " + percent(*busy) + (more.empty() ? "" : " (" + join(more, ", ") + ")"));
  }
  if (load) {
    char text[32];
    std::snprintf(text, sizeof text, "load %.1f", *load);
    parts.emplace_back(text);
  }
  return join(parts, ", ");
}

// What some task waited for, for how much of the last ten seconds.
std::string pressure_text(const NodeValues& values) {
  std::vector<std::string> parts;
  for (const std::string what : {"cpu", "memory", "io"}) {
    const auto node = value_of(values, "pressure." + what + ".some_percent");
    const auto group = value_of(values, "cgroup.pressure." + what + ".some_percent");
    const double most = std::max(node.value_or(0), group.value_or(0));
    if (most >= kPressure) parts.push_back(what + " " + percent(most));
  }
  return parts.empty() ? "" : "pressure: " + join(parts, ", ");
}

std::string node_text(const NodeView& node) {
  std::vector<std::string> parts;
  if (std::string cpu = cpu_text(node.values); !cpu.empty()) parts.push_back(std::move(cpu));
  const auto available = value_of(node.values, "mem.available_bytes");
  const auto total = value_of(node.values, "mem.total_bytes");
  if (available && total) add_used(parts, "memory ", *total - *available, total);
  add_used(parts, "its cgroup ", value_of(node.values, "cgroup.mem.current_bytes"),
           value_of(node.values, "cgroup.mem.limit_bytes"));
  if (std::string waits = pressure_text(node.values); !waits.empty()) {
    parts.push_back(std::move(waits));
  }
  return join(parts, "; ");
}

// What is wrong with it; "" nothing.
std::string trouble_of(const NodeValues& gpu) {
  std::vector<std::string> parts;
  const auto reasons = static_cast<unsigned>(value_of(gpu, "gpu.throttle_reasons").value_or(0));
  if (const std::string why = topology::throttle_text(reasons); !why.empty()) {
    parts.push_back("slowed down (" + why + ")");
  }
  if (const auto errors = value_of(gpu, "gpu.ecc_uncorrected"); errors && *errors > 0) {
    parts.push_back(counted(std::llround(*errors), "uncorrected ECC error"));
  }
  return join(parts, ", ");
}

std::string gpu_text(const NodeValues& gpu) {
  std::vector<std::string> parts;
  if (const auto busy = value_of(gpu, "gpu.percent")) parts.push_back(percent(*busy));
  add_used(parts, "", value_of(gpu, "gpu.memory_used_bytes"),
           value_of(gpu, "gpu.memory_total_bytes"));
  if (const auto watts = value_of(gpu, "gpu.power_watts")) {
    const auto limit = value_of(gpu, "gpu.power_limit_watts");
    parts.push_back(rounded(*watts) + (limit ? " of " + rounded(*limit) : "") + " W");
  }
  if (const auto heat = value_of(gpu, "gpu.temperature_celsius")) {
    parts.push_back(rounded(*heat) + " °C");
  }
  if (std::string trouble = trouble_of(gpu); !trouble.empty()) parts.push_back(std::move(trouble));
  const auto corrected = value_of(gpu, "gpu.ecc_corrected");
  if (corrected && *corrected > 0) {
    parts.push_back(counted(std::llround(*corrected), "corrected ECC error"));
  }
  return join(parts, ", ");
}

std::string titled(std::string title, bool suffers) {
  title.insert(0, suffers ? "! " : "  ");
  title.resize(std::max<std::size_t>(title.size() + 1, 13), ' ');
  return title;
}

void take_line(const Json& line, std::map<std::string, NodeView>& nodes) {
  if (!line.is_object() || !line.contains("node") || !line["node"].is_string() ||
      !line.contains("time") || !line["time"].is_number() || !line.contains("values") ||
      !line["values"].is_object()) {
    return;
  }
  const auto name = line["node"].get<std::string>();
  NodeView& node = nodes[name];
  node.node = name;
  const std::chrono::duration<double> time(std::clamp(line["time"].get<double>(), 0.0, 9e9));
  node.time = std::max(node.time,
                       plan::WallTime(std::chrono::duration_cast<plan::WallTime::duration>(time)));
  NodeValues* values = &node.values;
  if (const auto gpu = line.find("gpu"); gpu != line.end()) {
    if (!gpu->is_number_unsigned() || gpu->get<std::uint64_t>() > 4096) return;
    values = &node.gpus[gpu->get<int>()];
  } else if (const auto interface = line.find("interface"); interface != line.end()) {
    if (!interface->is_string()) return;
    values = &node.interfaces[interface->get<std::string>()];
  } else if (line.size() != 3) {
    return;  // of a rank, or of something that later versions know
  }
  for (const auto& [key, value] : line["values"].items()) {
    if (value.is_number()) (*values)[key] = value.get<double>();
  }
}

}  // namespace

void take_node_lines(std::string_view text, std::map<std::string, NodeView>& nodes) {
  for (std::size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) {
    const std::string_view line = text.substr(0, end);
    take_line(Json::parse(line.begin(), line.end(), nullptr, false), nodes);
  }
}

std::vector<NodeView> read_node_views(const store::RunDirectory& run) {
  std::map<std::string, NodeView> nodes;
  std::error_code error;
  const fs::path directory = run.node_metrics("x").parent_path();
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".jsonl") continue;
    FollowedFile file(at->path());
    file.look();
    file.seek(file.line_start(file.size() - std::min(file.size(), kEndOfFile)));
    std::string text;
    std::string buffer;
    while (text.size() <= 2 * kEndOfFile) {
      const std::string_view block = file.read_block(buffer);
      if (block.empty()) break;
      text += block;
    }
    take_node_lines(text, nodes);
  }
  std::vector<NodeView> views;
  for (auto& [name, node] : nodes) views.push_back(std::move(node));
  return views;
}

std::vector<std::string> node_lines(const std::vector<NodeView>& nodes, plan::WallTime now,
                                    bool is_over) {
  std::vector<std::string> lines;
  for (const NodeView& node : nodes) {
    const auto age = std::chrono::floor<std::chrono::seconds>(now - node.time);
    lines.push_back(titled("node", false) + without_controls(node.node) + ": " + node_text(node) +
                    (age >= kOld || is_over ? " (" + format_duration(age) + " ago)" : ""));
    const std::string of = nodes.size() > 1 ? " of " + without_controls(node.node) : "";
    for (const auto& [number, gpu] : node.gpus) {
      lines.push_back(titled("gpu " + std::to_string(number) + of, !trouble_of(gpu).empty()) +
                      gpu_text(gpu));
    }
  }
  return lines;
}

}  // namespace muster::report
