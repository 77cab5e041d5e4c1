// By what means each input and output gets to the ranks, and from them.
//
// Each rule leaves its reason in `why`; what the machine lacks is an error before anything runs,
// with a way that needs less, if there is one.
#include "launcher/plan/data_plan.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "launcher/plan/data_place.h"
#include "launcher/plan/mount_commands.h"

namespace muster::plan {
namespace {

namespace fs = std::filesystem;
using config::DataBinding;
using config::DataMode;
using config::DataType;
using config::RunConfig;
using Kind = DataPlace::Kind;

std::string word_of(const DataItem& item) {
  return (item.is_output ? "output " : "input ") + item.name;
}

Failure refuse(const DataItem& item, ErrorCode code, const std::string& why, std::string hint) {
  return Failure(Error{code, word_of(item) + ": " + why, std::move(hint), item.origin.location});
}

// The name of a file, as a shell takes it without quotes: commands get the path as text.
std::string plain_file_name(const std::string& location) {
  std::string name = fs::path(location).filename().string();
  for (char& c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0 && c != '.' && c != '-' && c != '_' && byte < 0x80) c = '_';
  }
  return name.empty() ? "file" : name;
}

// Where ranks look, given that something of ours stands at the entry.
void set_entry(DataItem& item, const std::set<std::string>& input_names) {
  const bool taken = item.is_output && input_names.contains(item.name);
  item.entry = std::string(kDataPlaceholder) + "/" + item.name + (taken ? "-output" : "");
  item.value = item.entry;
  if (item.type == DataType::kFile && item.place) {
    item.value = item.entry + "/" + plain_file_name(item.place->location);
  }
}

void set_variables(const DataBinding& binding, DataItem& item) {
  const std::string& name = item.name;
  item.variables.push_back("AZUREML_DATAREFERENCE_" + name);
  item.variables.push_back((item.is_output ? "AZURE_ML_OUTPUT_" : "AZURE_ML_INPUT_") + name);
  item.variables.push_back((item.is_output ? "AZ_BATCHAI_OUTPUT_" : "AZ_BATCHAI_INPUT_") + name);
  if (!binding.environment_variable.value) return;
  std::string own = *binding.environment_variable.value;
  item.variables.push_back(own);
  std::transform(own.begin(), own.end(), own.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (own != item.variables.back()) item.variables.push_back(own);
}

class Planner {
 public:
  Planner(const RunConfig& config, const DataFacts& facts) : config_(config), facts_(facts) {
    for (const DataBinding& input : config.inputs) input_names_.insert(input.name);
  }

  Result<> add(const ResolvedBinding& resolved, DataPlan& plan);

 private:
  Result<> look_at_local(DataItem& item, DataPlan& plan) const;
  Result<> mount(DataItem& item, DataPlan& plan) const;
  Result<> mount_local(DataItem& item, DataPlan& plan) const;
  Result<> mount_nfs(DataItem& item) const;
  Result<> mount_rclone(DataItem& item, DataPlan& plan) const;
  Result<> mount_by_command(DataItem& item) const;
  Result<> copy(DataItem& item, DataPlan& plan) const;
  void place_mount(DataItem& item) const;
  std::string needs_program(const std::string& program) const;

  const RunConfig& config_;
  const DataFacts& facts_;
  std::set<std::string> input_names_;
};

Result<> Planner::add(const ResolvedBinding& resolved, DataPlan& plan) {
  const DataBinding& binding = *resolved.binding;
  DataItem item;
  item.is_output = resolved.is_output;
  item.name = binding.name;
  item.origin = binding.path.value ? binding.path.origin : binding.origin;
  item.mode = binding.mode.value;
  item.type = binding.type.value;
  item.read_only = !item.is_output && binding.read_only.value;
  item.overwrite = binding.overwrite.value;
  item.place = resolved.place;
  if (binding.path.value) item.written = shown_path(*binding.path.value);
  item.path_on_compute = binding.path_on_compute.value.value_or("");
  if (!item.path_on_compute.empty() && !fs::path(item.path_on_compute).is_absolute()) {
    // As Azure ML has it, relative to where the ranks run; only an absolute one is another place.
    plan.warnings.push_back(word_of(item) + ": path_on_compute " + item.path_on_compute +
                            " is relative and makes no further link; its path is in the variables");
    item.path_on_compute.clear();
  }
  if (binding.literal) {
    item.origin = binding.literal->origin;
    item.value = binding.literal->value;
    item.why = "a value";
  } else if (!binding.path.value && !item.is_output) {
    return {};  // optional, and not given
  } else if (!binding.path.value) {
    item.means = DataMeans::kRunDirectory;
    item.type = DataType::kFolder;
    set_entry(item, input_names_);
    item.link_target = std::string(kRunPlaceholder) + "/outputs/" + item.name;
    item.why = "it has no path: kept in the run directory";
  } else if (item.mode == DataMode::kDirect) {
    item.means = DataMeans::kDirect;
    const bool local = item.place && item.place->kind == Kind::kLocal;
    item.value = local ? item.place->path : *binding.path.value;
    item.why = "mode direct: the ranks get it as text";
  } else {
    if (item.place->kind == Kind::kLocal) MUSTER_TRY(look_at_local(item, plan));
    set_entry(item, input_names_);
    if (item.mode == DataMode::kMount) {
      MUSTER_TRY(mount(item, plan));
    } else {
      MUSTER_TRY(copy(item, plan));
    }
  }
  set_variables(binding, item);
  plan.items.push_back(std::move(item));
  return {};
}

// What a local path is decides over what the config says, where it says nothing.
Result<> Planner::look_at_local(DataItem& item, DataPlan& plan) const {
  const std::string& path = item.place->path;
  const auto found = facts_.local.find(path);
  const DataFacts::LocalPath facts =
      found == facts_.local.end() ? DataFacts::LocalPath{} : found->second;
  if (!facts.problem.empty()) {
    return refuse(item, ErrorCode::kData, path + " cannot be looked at: " + facts.problem,
                  "see who may read it: ls -ld " + shell_quoted(path));
  }
  if (item.is_output) {
    if (facts.exists && !facts.is_directory) {
      return refuse(item, ErrorCode::kData, path + " is a file, and outputs are written below it",
                    "name a directory; it is made if it is not there");
    }
    item.type = DataType::kFolder;
    return {};
  }
  if (!facts.exists) {
    return refuse(item, ErrorCode::kData, path + " does not exist",
                  item.place->datastore.empty()
                      ? "the path counts from the directory of the config"
                      : "it is in the datastore " + item.place->datastore);
  }
  if (!facts.is_readable) {
    return refuse(
        item, ErrorCode::kData, path + " cannot be read",
        "make it readable for the user that starts the run: ls -ld " + shell_quoted(path));
  }
  if (facts.is_directory && item.type == DataType::kFile) {
    plan.warnings.push_back(word_of(item) + " is a file in the config, and " + path +
                            " is a directory: the ranks get the directory");
  }
  item.type = facts.is_directory ? DataType::kFolder : DataType::kFile;
  item.bytes = facts.bytes;
  return {};
}

Result<> Planner::mount(DataItem& item, DataPlan& plan) const {
  switch (item.place->kind) {
    case Kind::kLocal: return mount_local(item, plan);
    case Kind::kNfs: return mount_nfs(item);
    case Kind::kRclone: return mount_rclone(item, plan);
    case Kind::kCommand: return mount_by_command(item);
  }
  return {};
}

// A folder is mounted at the entry.  A file of something larger is linked from the entry, beside
// which all of it is mounted, so that it keeps its name.
void Planner::place_mount(DataItem& item) const {
  item.mount_point = item.entry;
  if (item.type == DataType::kFolder) return;
  const fs::path location = item.place->location;
  item.mount_point = std::string(kDataPlaceholder) + "/.mounts/" + item.name;
  item.link_target = item.mount_point + "/" + location.filename().string();
}

std::string Planner::needs_program(const std::string& program) const {
  return "no " + program + " is on PATH";
}

Result<> Planner::mount_local(DataItem& item, DataPlan& plan) const {
  if (!facts_.may_mount) {
    item.means = DataMeans::kLink;
    item.link_target = item.place->path;
    item.why = "link, because mounting is not permitted (" + facts_.why_not_mount + ")";
    if (item.read_only) {
      item.why += "; read_only is not enforced";
      item.read_only = false;
    }
    return {};
  }
  item.means = DataMeans::kBind;
  item.mount_point = item.type == DataType::kFile ? item.value : item.entry;
  item.helpers = bind_commands(facts_, item);
  item.unmount = unmount_command(facts_, item);
  item.why = item.read_only ? "bind mount, read-only" : "bind mount";
  static_cast<void>(plan);
  return {};
}

Result<> Planner::mount_nfs(DataItem& item) const {
  if (!facts_.may_mount) {
    return refuse(item, ErrorCode::kPermission,
                  "cannot mount " + item.place->location + ": " + facts_.why_not_mount,
                  "start the run as root, or have the administrator mount it and name the "
                  "directory as a datastore of type local");
  }
  if (facts_.mount_nfs.empty()) {
    return refuse(item, ErrorCode::kResources,
                  "cannot mount " + item.place->location + ": no mount.nfs is here",
                  "install it: apt-get install nfs-common");
  }
  item.means = DataMeans::kNfs;
  place_mount(item);
  item.helpers = nfs_commands(facts_, item);
  item.unmount = unmount_command(facts_, item);
  item.why = item.read_only ? "NFS, read-only" : "NFS";
  return {};
}

Result<> Planner::mount_rclone(DataItem& item, DataPlan& plan) const {
  const std::string what = "cannot mount " + item.place->location + ": ";
  const std::string instead = item.is_output ? "use mode: upload, which needs no mount"
                                             : "use mode: download, which needs no mount";
  if (facts_.rclone.empty()) {
    return refuse(item, ErrorCode::kResources, what + needs_program("rclone"),
                  "install it: apt-get install rclone");
  }
  if (!facts_.has_fuse) {
    return refuse(item, ErrorCode::kResources, what + facts_.why_not_fuse, instead);
  }
  if (facts_.fusermount.empty()) {
    return refuse(item, ErrorCode::kResources, what + needs_program("fusermount3"),
                  "install it: apt-get install fuse3; or " + instead);
  }
  item.means = DataMeans::kRclone;
  place_mount(item);
  item.helpers = rclone_commands(facts_, item);
  item.unmount = unmount_command(facts_, item);
  item.why = "rclone " + facts_.rclone_version + (item.read_only ? ", read-only" : "");
  plan.rclone = facts_.rclone;
  return {};
}

Result<> Planner::mount_by_command(DataItem& item) const {
  item.means = DataMeans::kCommand;
  place_mount(item);
  item.helpers = own_commands(facts_, item);
  item.unmount = unmount_command(facts_, item);
  item.why = "the mount command of the datastore " + item.place->datastore;
  return {};
}

Result<> Planner::copy(DataItem& item, DataPlan& plan) const {
  const bool copyable = item.place->kind == Kind::kLocal || item.place->kind == Kind::kRclone;
  if (!copyable) {
    return refuse(item, ErrorCode::kConfig,
                  std::string(item.is_output ? "upload to" : "download from") + " the datastore " +
                      item.place->datastore + " is not possible: it can only be mounted",
                  "use mode: mount");
  }
  if (item.place->kind == Kind::kRclone) {
    if (facts_.rclone.empty()) {
      return refuse(item, ErrorCode::kResources,
                    "cannot copy " + item.place->location + ": " + needs_program("rclone"),
                    "install it: apt-get install rclone");
    }
    plan.rclone = facts_.rclone;
  }
  item.means = item.is_output ? DataMeans::kUpload : DataMeans::kDownload;
  item.read_only = false;
  if (item.is_output) {
    item.link_target = std::string(kRunPlaceholder) + "/outputs/" + item.name;
    item.type = DataType::kFolder;
    item.value = item.entry;
    item.why = "written to the run directory, copied after the ranks";
  } else {
    item.why = "copied to the cache before the ranks";
  }
  return {};
}

config::Problems one_problem(const DataBinding& binding, bool is_output,
                             const config::Unfit& unfit) {
  const std::string key = (is_output ? "outputs." : "inputs.") + binding.name + ".path";
  return {config::problem_at(binding.path.origin, key, unfit.why, unfit.hint)};
}

void fill(std::string& text, std::string_view placeholder, const std::string& value) {
  if (text.starts_with(placeholder)) text.replace(0, placeholder.size(), value);
}

// Placeholders stand inside words of a helper, too: "--cache-dir=<run directory>/…".
void fill_anywhere(std::string& text, std::string_view placeholder, const std::string& value) {
  for (std::size_t at = text.find(placeholder); at != std::string::npos;
       at = text.find(placeholder, at + value.size())) {
    text.replace(at, placeholder.size(), value);
  }
}

}  // namespace

tl::expected<std::vector<ResolvedBinding>, config::Problems> resolve_data(
    const RunConfig& config, const config::Datastores& datastores,
    const std::string& current_directory) {
  const std::string& directory =
      config.config_directory.empty() ? current_directory : config.config_directory;
  std::vector<ResolvedBinding> resolved;
  config::Problems problems;
  const auto resolve = [&](const DataBinding& binding, bool is_output) {
    ResolvedBinding one{&binding, is_output, std::nullopt};
    if (binding.path.value && !binding.literal) {
      auto place = resolve_place(*binding.path.value, directory, datastores);
      const bool as_text = binding.mode.value == DataMode::kDirect;
      // As text it would be in the plan, in run.json and in the environment of every rank.
      const config::Unfit secret =
          as_text ? config::check_for_secret(*binding.path.value) : config::Unfit{};
      if (!secret.why.empty()) {
        for (Error& problem : one_problem(
                 binding, is_output,
                 {secret.why,
                  "a run's record would keep it; let the program read the address from an "
                  "environment variable that is set before the start, or use mode: mount or "
                  "download with a remote of rclone"})) {
          problems.push_back(std::move(problem));
        }
        return;
      }
      if (place) {
        one.place = std::move(*place);
      } else if (!as_text) {
        for (Error& problem : one_problem(binding, is_output, place.error())) {
          problems.push_back(std::move(problem));
        }
      }
    }
    resolved.push_back(std::move(one));
  };
  for (const DataBinding& input : config.inputs) resolve(input, false);
  for (const DataBinding& output : config.outputs) resolve(output, true);
  if (problems.empty()) return resolved;
  config::sort_and_limit(problems);
  return tl::unexpected<config::Problems>(std::move(problems));
}

std::vector<std::string> local_paths(const std::vector<ResolvedBinding>& bindings) {
  std::vector<std::string> paths;
  for (const ResolvedBinding& each : bindings) {
    const bool direct = each.binding->mode.value == DataMode::kDirect;
    if (each.place && each.place->kind == Kind::kLocal && !direct) {
      paths.push_back(each.place->path);
    }
  }
  return paths;
}

Result<DataPlan> plan_data(const RunConfig& config, const config::Datastores& datastores,
                           const DataFacts& facts) {
  DataPlan plan;
  auto resolved = resolve_data(config, datastores, facts.current_directory);
  if (!resolved) return Failure(std::move(resolved.error().front()));
  Planner planner(config, facts);
  for (const ResolvedBinding& each : *resolved) MUSTER_TRY(planner.add(each, plan));
  return plan;
}

config::ReferenceValues reference_values(const RunConfig& config, const DataPlan& plan) {
  config::ReferenceValues values;
  for (const DataBinding& input : config.inputs) values.inputs[input.name] = std::nullopt;
  for (const DataBinding& output : config.outputs) values.outputs[output.name] = std::nullopt;
  for (const DataItem& item : plan.items) {
    (item.is_output ? values.outputs : values.inputs)[item.name] = item.value;
  }
  return values;
}

void set_data_places(DataPlan& plan, const std::string& data_directory,
                     const std::string& run_directory) {
  for (DataItem& item : plan.items) {
    if (item.means == DataMeans::kLiteral || item.means == DataMeans::kDirect) continue;
    for (std::string* text : {&item.value, &item.entry, &item.mount_point, &item.link_target}) {
      fill(*text, kDataPlaceholder, data_directory);
      fill(*text, kRunPlaceholder, run_directory);
    }
    for (HelperCommand& helper : item.helpers) {
      for (std::string& word : helper.argv) {
        fill_anywhere(word, kDataPlaceholder, data_directory);
        fill_anywhere(word, kRunPlaceholder, run_directory);
      }
    }
    for (std::string& word : item.unmount) fill_anywhere(word, kDataPlaceholder, data_directory);
  }
}

std::string to_string(DataMeans means) {
  switch (means) {
    case DataMeans::kLiteral: return "literal";
    case DataMeans::kDirect: return "direct";
    case DataMeans::kBind: return "bind";
    case DataMeans::kLink: return "link";
    case DataMeans::kNfs: return "nfs";
    case DataMeans::kRclone: return "rclone";
    case DataMeans::kCommand: return "command";
    case DataMeans::kDownload: return "download";
    case DataMeans::kUpload: return "upload";
    case DataMeans::kRunDirectory: return "run directory";
  }
  return {};
}

std::string to_string(DataMode mode) {
  switch (mode) {
    case DataMode::kMount: return "mount";
    case DataMode::kDownload: return "download";
    case DataMode::kUpload: return "upload";
    case DataMode::kDirect: return "direct";
  }
  return {};
}

}  // namespace muster::plan
