// What becomes of each input and output: where its data is, by what means it gets to the ranks or
// from them, and what ranks see.
//
// Pure data, part of the LaunchPlan.  `launcher/data` carries it out.  Every path that only a start
// knows begins with a placeholder, which set_data_places() fills in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/datastores.h"
#include "launcher/config/expressions.h"
#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::plan {

inline constexpr std::string_view kDataPlaceholder = "<set at start>";  // of the mounts and links
inline constexpr std::string_view kRunPlaceholder = "<run directory>";

// Where data is, after datastores, assets and relative paths are resolved.
struct DataPlace {
  enum class Kind { kLocal, kNfs, kRclone, kCommand };

  Kind kind = Kind::kLocal;
  std::string datastore = {};  // its name; "" for a path of its own
  // For people and for the helper: "/srv/digits", "server:/export/digits",
  // "azure:container/digits". Never holds a credential.
  std::string location = {};
  std::string path = {};                  // kLocal: absolute; kCommand: what {source} is
  std::vector<std::string> options = {};  // as in the datastore
  std::vector<std::string> mount = {};    // kCommand
  std::vector<std::string> unmount = {};  // kCommand
  std::string config_file = {};           // kRclone; may be empty
  std::string environment_file = {};      // may be empty
};

enum class DataMeans {
  kLiteral,       // a value and no data
  kDirect,        // the ranks get the location as text and go there themselves
  kBind,          // a local path, bind-mounted
  kLink,          // a local path, by a symbolic link
  kNfs,           // mount -t nfs
  kRclone,        // rclone mount, in the foreground for as long as the run lasts
  kCommand,       // a mount command of the datastore
  kDownload,      // copied into the cache before the ranks; a link to it
  kUpload,        // written to the run directory; copied to its place after the ranks
  kRunDirectory,  // written to the run directory, and stays there
};

// A program that is run before the ranks to bring one item about, in order.
struct HelperCommand {
  std::vector<std::string> argv;
  bool stays = false;  // in the foreground for as long as the mount is there
};

struct DataItem {
  bool is_output = false;
  std::string name;
  config::Origin origin = {};  // of the path, or of the name where there is none
  config::DataMode mode = config::DataMode::kMount;
  DataMeans means = DataMeans::kLiteral;
  std::string written = {};             // as the config has it: "datastore://blob/digits"
  std::optional<DataPlace> place = {};  // nullopt: kLiteral, kRunDirectory, a direct URI
  config::DataType type = config::DataType::kFolder;
  bool read_only = false;
  bool overwrite = false;  // kUpload: names that exist already may be replaced
  // What ${{inputs.NAME}} and the variables are: the path as ranks see it, or the text.
  std::string value = {};
  std::string entry = {};        // what is made in the data directory; "" for kLiteral, kDirect
  std::string mount_point = {};  // of a mount; the entry itself but for a file on a remote
  std::string link_target =
      {};  // what the entry, or the file in it, links to; "" for a mount of it
  std::string path_on_compute = {};         // a further link to the value; may be empty
  std::vector<std::string> variables = {};  // names; each has the value
  std::vector<HelperCommand> helpers = {};
  std::vector<std::string> unmount = {};    // the command; empty where nothing is mounted
  std::string why = {};                     // "bind mount", "link: mounting is not permitted (…)"
  std::optional<std::uint64_t> bytes = {};  // what there is to copy, where that is cheap to know

  bool is_mount() const { return !mount_point.empty(); }
};

struct DataPlan {
  std::vector<DataItem> items;  // inputs, then outputs, in the config's order
  std::string rclone;           // full path; "" where no item needs it
  std::vector<std::string> warnings;

  bool empty() const { return items.empty(); }
};

// What the machine has for data, found out once by launcher/data/probe.h.
struct DataFacts {
  struct LocalPath {
    bool exists = false;
    bool is_directory = false;
    bool is_readable = false;
    std::string problem = {};  // why it cannot be looked at: "Permission denied"; may be empty
    std::optional<std::uint64_t> bytes = {};
  };

  std::string current_directory = {};  // where paths start in the form without a config
  bool may_mount = false;
  std::string why_not_mount = {};  // "mounting needs root": with may_mount false
  std::string mount_program = {};  // full paths; "" when there is none
  std::string umount_program = {};
  std::string mount_nfs = {};  // mount.nfs, which mount(8) calls
  std::string rclone = {};
  std::string rclone_version = {};
  std::string fusermount = {};  // fusermount3, or an older fusermount
  bool has_fuse = false;        // /dev/fuse can be used
  std::string why_not_fuse = {};
  std::map<std::string, LocalPath> local = {};  // by absolute path
};

// Where each input and output is, by name order of the config; problems all at once.
struct ResolvedBinding {
  const config::DataBinding* binding = nullptr;
  bool is_output = false;
  std::optional<DataPlace> place = {};  // nullopt: a literal, nothing, or a URI for mode direct
};
tl::expected<std::vector<ResolvedBinding>, config::Problems> resolve_data(
    const config::RunConfig& config, const config::Datastores& datastores,
    const std::string& current_directory);

// The local paths that the plan wants to know about.
std::vector<std::string> local_paths(const std::vector<ResolvedBinding>& bindings);

Result<DataPlan> plan_data(const config::RunConfig& config, const config::Datastores& datastores,
                           const DataFacts& facts);

// What ${{inputs.NAME}} and ${{outputs.NAME}} are, for config::substituted().
config::ReferenceValues reference_values(const config::RunConfig& config, const DataPlan& plan);

// Fills in what only a start knows, everywhere in the plan.
void set_data_places(DataPlan& plan, const std::string& data_directory,
                     const std::string& run_directory);

// "bind", "rclone", …: as plan.json and `muster plan` have it.
std::string to_string(DataMeans means);
std::string to_string(config::DataMode mode);

}  // namespace muster::plan
