// datastores.yaml: where the data is that run configs name, so that configs stay portable.
//
//   datastores:
//     blob:    {type: rclone, remote: "azure:container", config_file: rclone.conf}
//     scratch: {type: local, path: /srv/scratch}
//     home:    {type: nfs, server: files, export: /home, options: "hard,nconnect=4"}
//     bucket:  {type: command, source: my-bucket, mount: [mount-s3, "{source}", "{target}"]}
//   default: blob
//   assets:    {"digits:1": datastore://blob/digits}
//   locations: {"https://account.blob.core.windows.net/container": datastore://blob}
//
// Pure data and a pure reader.  Credentials are never in it: it names files that hold them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "launcher/config/problems.h"
#include "launcher/config/run_config.h"
#include "launcher/config/values.h"

namespace muster::config {

enum class DatastoreType { kLocal, kNfs, kRclone, kCommand };

struct Datastore {
  std::string name;
  Origin origin = {};  // of the name
  DatastoreType type = DatastoreType::kLocal;
  std::string path = {};                  // local: absolute
  std::string server = {};                // nfs
  std::string export_path = {};           // nfs
  std::string remote = {};                // rclone: "azure:container/prefix"
  std::string source = {};                // command: what {source} begins with
  std::vector<std::string> mount = {};    // command: words with {source}, {target}, {options}, …
  std::vector<std::string> unmount = {};  // command; empty: umount, or fusermount3 for FUSE
  std::vector<std::string> options = {};  // nfs and command: joined by commas; rclone: its words
  std::string config_file = {};           // rclone: absolute; "": rclone's own
  std::string environment_file = {};      // absolute; NAME=value lines for the mount helper alone
};

struct Datastores {
  std::string file_name = {};  // as found; "" when there is none
  std::string directory = {};  // absolute; relative paths in the file start there
  std::vector<Datastore> stores = {};
  std::optional<Setting<std::string>> default_store = {};
  // "digits:1" → "datastore://blob/digits", in file order.
  std::vector<std::pair<std::string, Setting<std::string>>> assets = {};
  // The beginning of a location → a path that stands for it.
  std::vector<std::pair<std::string, Setting<std::string>>> locations = {};

  const Datastore* find(std::string_view name) const;
  std::vector<std::string> names() const;
};

// `directory` is absolute: relative paths in the file start there.
tl::expected<Datastores, Problems> read_datastores(std::string_view text,
                                                   const std::string& file_name,
                                                   const std::string& directory);

// Why this word must not stand in a helper's command line, where everybody on the machine can read
// it; "" when it may.
Unfit check_for_secret(std::string_view word);

}  // namespace muster::config
