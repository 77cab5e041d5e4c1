// Over which networks the nodes of a run talk, from their addresses and from what was proved. Pure.
#pragma once

#include <string>
#include <vector>

#include "cluster.pb.h"
#include "launcher/cluster/network_choice.h"
#include "muster/result.h"

namespace muster::cluster {

// An address that another node of the run has reached, or not.
struct Proof {
  int from = 0;  // node rank
  int to = 0;
  std::string address;  // 4 or 16 bytes
  bool reached = true;
  std::string problem;
};

// `joins`: by node rank; `wanted`: the user's word, CIDRs or interface names, empty: none.
// Errors: kResources, naming which pair cannot reach which address.
Result<NetworkChoice> choose_network(const std::vector<const protocol::Join*>& joins,
                                     const std::vector<Proof>& proofs,
                                     const std::vector<std::string>& wanted);

}  // namespace muster::cluster
