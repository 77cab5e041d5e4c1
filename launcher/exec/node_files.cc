#include "launcher/exec/node_files.h"

#include "base/files.h"
#include "launcher/plan/batch_directories.h"

namespace muster::exec {
namespace {

Result<> make_all(const plan::BatchDirectories& directories, const std::string& host_file_text) {
  for (const std::string& directory : directories.all()) MUSTER_TRY(make_directories(directory));
  return replace_file(directories.host_file, host_file_text);
}

}  // namespace

Result<> make_node_files(const plan::StartValues& start, const plan::LaunchPlan& plan) {
  MUSTER_TRY(make_directories(start.data_directory));
  auto made = make_all(plan::BatchDirectories(start.node_directory), plan::host_file_text(plan));
  if (!made) made.error().code = ErrorCode::kRunDirectory;
  return made;
}

}  // namespace muster::exec
