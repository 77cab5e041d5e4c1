// Over which addresses and interfaces the nodes of a run talk: what choose_network() decides, and
// what a plan is made with.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace muster::cluster {

struct NodeNetwork {
  std::string address;    // as the others reach it, in text
  std::string interface;  // its name here
};

struct NetworkChoice {
  std::vector<std::string> cidrs;  // for Open MPI: every node has an address in one of them
  bool ipv6 = false;
  std::vector<NodeNetwork> nodes;                            // by node rank
  std::vector<std::pair<std::string, std::string>> reasons;  // subject, why: for the plan
  bool shared_host = false;  // some of the nodes are launchers of one machine and network
};

}  // namespace muster::cluster
