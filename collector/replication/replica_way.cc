// What is stored makes way for what has its name now.

#include <sys/stat.h>

#include "base/text.h"
#include "collector/replication/replica_names.h"
#include "collector/replication/replica_run.h"

namespace muster::replication {

// A name can be a file's today and a folder's tomorrow, and the other way round.  What its writer
// said is gone makes way, and only that.
Result<> ReplicaRun::clear_way(const store::Writer& writer, const std::string& path,
                               bool only_look) {
  std::vector<std::string> in_the_way;
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string above = path.substr(0, slash);
    MUSTER_TRY_ASSIGN(const auto there, root_.look(above));
    if (!there) return {};  // nor is anything below it
    if (!S_ISDIR(there->st_mode)) {
      in_the_way.push_back(above);
      break;
    }
  }
  bool is_folder = false;
  if (in_the_way.empty()) {
    MUSTER_TRY_ASSIGN(const auto there, root_.look(path));
    is_folder = there && S_ISDIR(there->st_mode);
  }
  if (is_folder) {
    const std::string below = path + "/";
    for (auto each = files_.lower_bound(below);
         each != files_.end() && each->first.starts_with(below); ++each) {
      if (each->second.stored && !each->second.copy_gone) in_the_way.push_back(each->first);
    }
  }
  for (const std::string& each : in_the_way) {
    const auto known = files_.find(each);
    const bool is_his = known != files_.end() && known->second.stored &&
                        known->second.stored->writer == writer.name;
    if (is_his && known->second.deleted) continue;
    return refused(path, "its name is taken by `" + without_controls(each) + "`, " +
                             (is_his ? "which is not gone" : "which is not its writer's"));
  }
  if (only_look) return {};
  // On record first: a copy that is missing and on no record would be a lost one.
  for (const std::string& each : in_the_way) manifest_.made_way(each);
  if (!in_the_way.empty()) MUSTER_TRY(manifest_.flush());
  for (const std::string& each : in_the_way) MUSTER_TRY(clear_way_of(each));
  if (!is_folder) return {};
  if (auto removed = root_.remove_folders(path); !removed) {
    return refused(path, "its name is taken by a folder");
  }
  return {};
}

Result<> ReplicaRun::clear_way_of(const std::string& path) {
  MUSTER_TRY(root_.remove(path));
  if (names_) names_->others_lack(path);
  files_[path].copy_gone = true;
  durable_.streams.erase(path);
  std::erase_if(streams_, [&](const auto& one) {
    ReplicaStream& stream = *one.second;
    if (stream.stored_at != path) return false;
    ++stream.restarts;
    stream.dirty = stream.commit = false;
    return true;
  });
  return {};
}

}  // namespace muster::replication
