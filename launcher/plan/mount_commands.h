// The exact words by which a mount is made and taken away.  No credential is ever among them.
#pragma once

#include "launcher/plan/data_plan.h"

namespace muster::plan {

std::vector<HelperCommand> bind_commands(const DataFacts& facts, const DataItem& item);
std::vector<HelperCommand> nfs_commands(const DataFacts& facts, const DataItem& item);
std::vector<HelperCommand> rclone_commands(const DataFacts& facts, const DataItem& item);
// Of a datastore of type command, with {source}, {target}, {options} and {access} filled in.
std::vector<HelperCommand> own_commands(const DataFacts& facts, const DataItem& item);

std::vector<std::string> unmount_command(const DataFacts& facts, const DataItem& item);

// Where rclone keeps what ranks wrote until it is uploaded.
std::string write_cache(const DataItem& item);

}  // namespace muster::plan
