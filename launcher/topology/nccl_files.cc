// NCCL reads its settings from the environment, then from the user's conf file, then from
// /etc/nccl.conf; each leaves what is set already.  The topology file is one of these settings.
#include "launcher/topology/nccl_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "launcher/topology/network_devices.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestConf = std::size_t{1} << 20U;
constexpr std::size_t kMostSettings = 1000;
constexpr std::size_t kLargestTopology = std::size_t{4} << 20U;
constexpr const char* kTopologyVariable = "NCCL_TOPO_FILE";
constexpr const char* kSystemConf = "/etc/nccl.conf";
constexpr const char* kDaemonsFile = "/var/run/nvidia-topologyd/virtualTopology.xml";
constexpr const char* kAzureFolder = "/opt/microsoft";
constexpr const char* kSubject = "NCCL topology file";

// Which of Azure's files is for which GPU; the sizes of a family have the same one.
struct AzureFamily {
  std::string_view model;  // a part of the GPU's name
  std::size_t most_gpus;
  std::string_view file;
};
constexpr std::array kAzureFamilies{
    AzureFamily{"A100", 4, "ncv4"},  // NC A100 v4 has up to 4
    AzureFamily{"A100", 8, "ndv4"}, AzureFamily{"V100", 8, "ndv2"},
    AzureFamily{"H100", 8, "ndv5"}, AzureFamily{"H200", 8, "ndv5"},
};

// A relative one counts from the current directory, as for NCCL.
fs::path below(const std::string& root, const fs::path& path) {
  return path.is_absolute() ? fs::path(root) / path.relative_path() : path;
}

std::string value_of(const std::map<std::string, std::string>& environment,
                     const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

std::string user_conf(const std::map<std::string, std::string>& environment) {
  if (std::string named = value_of(environment, "NCCL_CONF_FILE"); !named.empty()) return named;
  const std::string home = value_of(environment, "HOME");
  return home.empty() ? "" : home + "/.nccl.conf";
}

std::vector<NcclSetting> read_conf(const std::string& root, const std::string& path) {
  const auto text = read_regular_file(below(root, path), kLargestConf);
  if (!text) return {};
  return parse_nccl_conf(*text, path);
}

const NcclSetting* find(const std::vector<NcclSetting>& settings, std::string_view name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const NcclSetting& setting) { return setting.name == name; });
  return found == settings.end() ? nullptr : &*found;
}

bool is_there(const std::string& root, const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(below(root, path), error);
}

// What NCCL itself will read; nullopt when it looks for none, or finds none where it looks.
std::optional<NcclTopologyFile> file_of_nccl(const std::string& root,
                                             const std::map<std::string, std::string>& environment,
                                             const std::vector<NcclSetting>& settings) {
  NcclTopologyFile file;
  file.found_by_nccl = true;
  // An empty value is a value: NCCL then reads no file, not even the default one.
  if (const auto set = environment.find(kTopologyVariable); set != environment.end()) {
    file.path = set->second;
    file.named_by = kTopologyVariable;
  } else if (const NcclSetting* setting = find(settings, kTopologyVariable)) {
    file.path = setting->value;
    file.named_by = setting->file;
  } else if (is_there(root, kDaemonsFile)) {
    file.path = kDaemonsFile;
    file.named_by = "the place that NCCL looks at by default";
  } else {
    return std::nullopt;
  }
  return file;
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

std::string_view azure_family(const NodeInventory& inventory) {
  if (inventory.gpus.empty()) return "";
  std::set<std::string> functions;  // GPUs, however they are partitioned
  for (const auto* list : {&inventory.gpus, &inventory.hidden_gpus}) {
    for (const Gpu& gpu : *list) functions.insert(gpu.bus_id);
  }
  for (const AzureFamily& family : kAzureFamilies) {
    if (inventory.gpus.front().model.find(family.model) == std::string::npos) continue;
    if (functions.size() <= family.most_gpus) return family.file;
  }
  return "";
}

// "ndv4-topo.xml" of older images, "ndv4/topo.xml" of newer ones.
std::vector<std::string> azure_files(const std::string& root, const NodeInventory& inventory) {
  std::vector<std::string> files;
  const std::string folder = std::string(kAzureFolder) + "/";
  for (const std::string& name : names_in(below(root, kAzureFolder))) {
    const std::string inside = folder + name + "/topo.xml";
    if (name.ends_with("-topo.xml") && is_there(root, folder + name))
      files.push_back(folder + name);
    if (is_there(root, inside)) files.push_back(inside);
  }
  const std::string_view family = azure_family(inventory);
  if (!family.empty()) {
    std::stable_partition(files.begin(), files.end(), [&](const std::string& file) {
      return file.substr(folder.size()).starts_with(family);
    });
  }
  return files;
}

// Parses and checks; the topology when it holds, else `file.why_not` says why.
std::optional<NcclTopology> look_at(const std::string& root, const NodeInventory& inventory,
                                    NcclTopologyFile& file) {
  auto topology = [&]() -> Result<NcclTopology> {
    if (file.path.empty()) return fail(ErrorCode::kResources, "its name is empty");
    MUSTER_TRY_ASSIGN(const std::string text,
                      read_regular_file(below(root, file.path), kLargestTopology));
    return parse_nccl_topology(text, file.path);
  }();
  if (!topology) {
    const Error& error = topology.error();
    const bool placed = error.location && error.location->line > 0;
    file.why_not =
        (placed ? "line " + std::to_string(error.location->line) + ": " : "") + error.message;
    return std::nullopt;
  }
  file.why_not = why_it_does_not_hold(*topology, inventory);
  if (!file.why_not.empty()) return std::nullopt;
  file.used = true;
  return std::move(*topology);
}

// What to do about it is for who named it.
Note ignored(const std::string& root, const NcclTopologyFile& file) {
  const std::string text = file.path + " (" + file.named_by + ") is ignored: " + file.why_not;
  std::string hint;
  if (file.found_by_nccl) {
    hint = is_there(root, file.path) ? "NCCL reads it all the same: correct it, or "
                                     : "name a file that is there, or ";
    if (file.named_by == kTopologyVariable) {
      hint += "unset " + file.named_by;
    } else if (file.path == kDaemonsFile) {
      hint += "remove it";
    } else {
      hint += "take " + std::string(kTopologyVariable) + " out of " + file.named_by;
    }
  }
  return {Note::Kind::kWarning, kSubject, text, hint};
}

// Which facts were compared; a file without CPU masks has said nothing of them.
std::string it_holds(const NcclTopologyFile& file, const NcclTopology& topology) {
  const bool has_masks = std::any_of(topology.cpus.begin(), topology.cpus.end(),
                                     [](const NcclCpu& cpu) { return !cpu.mask.empty(); });
  return file.path + " (" + file.named_by + ") holds: " +
         (has_masks ? "NUMA nodes, CPU masks and every GPU agree"
                    : "NUMA nodes and every GPU agree; it has no CPU masks to compare");
}

}  // namespace

std::vector<NcclSetting> parse_nccl_conf(std::string_view text, const std::string& file) {
  std::vector<NcclSetting> settings;
  std::set<std::string, std::less<>> seen;
  while (!text.empty() && settings.size() < kMostSettings) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const std::size_t equals = line.find('=');
    // A name with a space or a '#' before it is another name, which nobody asks for; a NUL ends a
    // line of NCCL's.
    if (equals == line.npos || equals == 0 || line.find('\0') != line.npos) continue;
    const std::string_view name = line.substr(0, equals);
    if (seen.insert(std::string(name)).second) {
      settings.push_back({std::string(name), std::string(line.substr(equals + 1)), file});
    }
  }
  return settings;
}

std::vector<NcclSetting> nccl_settings(const std::string& root,
                                       const std::map<std::string, std::string>& environment) {
  std::vector<NcclSetting> settings;
  for (const std::string& path : {user_conf(environment), std::string(kSystemConf)}) {
    if (path.empty()) continue;
    for (NcclSetting& setting : read_conf(root, path)) {
      if (find(settings, setting.name) == nullptr) settings.push_back(std::move(setting));
    }
  }
  return settings;
}

NcclFindings find_nccl_topology(const std::string& root,
                                const std::map<std::string, std::string>& environment,
                                const NodeInventory& inventory) {
  NcclFindings findings;
  findings.settings = nccl_settings(root, environment);
  const bool any_gpu = !inventory.gpus.empty() || !inventory.hidden_gpus.empty();
  if (auto file = file_of_nccl(root, environment, findings.settings)) {
    findings.topology = look_at(root, inventory, *file);
    // A node without GPUs runs no NCCL, whatever its image sets.
    if (!file->used && any_gpu) findings.notes.push_back(ignored(root, *file));
    findings.file = std::move(*file);
  } else if (any_gpu) {
    for (const std::string& path : azure_files(root, inventory)) {
      NcclTopologyFile candidate{path, "the place that Azure's images use"};
      findings.topology = look_at(root, inventory, candidate);
      const bool first = !findings.file;
      if (first || candidate.used) findings.file = std::move(candidate);
      if (findings.topology) break;
    }
    if (findings.file && !findings.file->used)
      findings.notes.push_back(ignored(root, *findings.file));
  }
  if (findings.topology) {
    findings.notes = contradictions(*findings.topology, inventory);
    findings.notes.insert(findings.notes.begin(), {Note::Kind::kInfo, kSubject,
                                                   it_holds(*findings.file, *findings.topology)});
  }
  return findings;
}

}  // namespace muster::topology
