// Over which networks the nodes of a run talk, from their addresses and from what was proved. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster.pb.h"
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

struct NodeNetwork {
  std::string address;    // as the others reach it, in text
  std::string interface;  // its name here
};

struct NetworkChoice {
  std::vector<std::string> cidrs;  // for Open MPI: every node has an address in one of them
  bool ipv6 = false;
  std::vector<NodeNetwork> nodes;                            // by node rank
  std::vector<std::pair<std::string, std::string>> reasons;  // subject, why: for the plan
};

// `joins`: by node rank; `wanted`: the user's word, CIDRs or interface names, empty: none.
// Errors: kResources, naming which pair cannot reach which address.
Result<NetworkChoice> choose_network(const std::vector<const protocol::Join*>& joins,
                                     const std::vector<Proof>& proofs,
                                     const std::vector<std::string>& wanted);

}  // namespace muster::cluster
