// Which runs work in one directory at the same time.  Each collects what changes in ./outputs and
// ./logs while it runs, and nobody can tell whose a file there is: so a run says in whose company
// it was.
//
// One small file per run beside the leases, locked by its launcher (leases.h).  Whoever comes later
// finds it and adds its own name, so that both know of each other, however short one of them is.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "launcher/exec/leases.h"
#include "muster/result.h"

namespace muster::exec {

class FolderClaim {
 public:
  // Of this user on this node.  Fails where there can be no leases.
  static Result<FolderClaim> take(const std::map<std::string, std::string>& environment,
                                  const std::filesystem::path& working_directory,
                                  const std::filesystem::path& run_directory);

  // The run directories of the others, from its making until now; by name.
  std::vector<std::string> others() const;

 private:
  FolderClaim(Lease own, std::vector<std::string> found)
      : own_(std::move(own)), found_(std::move(found)) {}

  Lease own_;
  std::vector<std::string> found_;  // when it was made
};

}  // namespace muster::exec
