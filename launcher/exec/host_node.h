// A member's part of a run: its launcher does for its node what the head orders, and tells the head
// what happens.  Decides nothing but what to do when the head is gone.
#pragma once

#include <string>

#include "launcher/exec/execution.h"
#include "launcher/link/member_link.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::exec {

struct HostedRanks {
  // Of this node's ranks alone; status and exit code are the head's to say.
  plan::RunOutcome outcome;
  bool head_lost = false;
  Error why_head_lost = {};
  std::optional<protocol::RunEnd> end;  // the head has said it already: nothing is stored any more
};

// For a member's log: "run stopping: rank 3 exited with 7".
std::string in_words(const protocol::PhaseNews& news);

// From Go until every rank has left and every stream is complete (NodeOrder::STORE), or until the
// head is gone.  Nothing of the ranks is left then.  An Error means that nothing was started; the
// head is not told of it here.  request.plan is this node's.
Result<HostedRanks> host_node(const ExecutionRequest& request, link::MemberLink& link,
                              RunObserver& observer);

}  // namespace muster::exec
